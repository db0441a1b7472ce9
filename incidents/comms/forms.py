"""Writing an update, and ending a duty without one."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from incidents.comms import actions, wording
from incidents.comms.models import LegalDeadline, Message
from incidents.lifecycle import gate
from incidents.lifecycle import queries as lifecycle
from incidents.lifecycle.actions import FUTURE_SLACK
from incidents.lifecycle.forms import SeenForm, UtcField
from incidents.lifecycle.models import Incident
from statuspage import languages
from statuspage.models import TITLE_LENGTH, Notice, Vendor
from statuspage.publish import BODY_LENGTH


class AssertsField(forms.ChoiceField):
    """Whether a text asserts what only executive sponsor and legal lead may let out; empty when nobody answered."""

    widget = forms.RadioSelect

    def __init__(self) -> None:
        super().__init__(
            label="Does it name a cause, exposed data, liability or compensation?",
            choices=[("yes", "Yes, it needs the approvals of a notice"), ("no", "No")],
            required=False,
            help_text="Yes: executive sponsor and legal lead approve it. If in doubt, yes.",
        )


def asserted(form: forms.Form) -> bool | None:
    """The answer; None when there is none."""
    return {"yes": True, "no": False}.get(form.cleaned_data.get("asserts", ""))


def ask_what_it_asserts(form: forms.Form, text: str) -> None:
    """Refuse a text whose words may assert something while nobody has said whether it does."""
    if asserted(form) is None and "asserts" not in form.errors and (found := wording.assertions(text)):
        form.add_error("asserts", actions.ask_of(found))


Words = Mapping[str, str] | None  # by language


class InLanguages(forms.Form):
    """Optional fields for title and text in each further language of the page."""

    def __init__(self, *args: Any, titles: Words = None, bodies: Words = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.others = list(languages.names().items())[1:]
        for code, name in self.others:
            attrs = {"lang": code, "dir": "auto"}
            self.fields[f"title_{code}"] = forms.CharField(
                label=f"Title in {name}",
                required=False,
                max_length=TITLE_LENGTH,
                initial=(titles or {}).get(code, ""),
                widget=forms.TextInput(attrs=attrs),
            )
            self.fields[f"text_{code}"] = forms.CharField(
                label=f"Text in {name}",
                required=False,
                max_length=5000,
                initial=(bodies or {}).get(code, ""),
                widget=forms.Textarea(attrs={"rows": 6, **attrs}),
            )

    def visible_fields(self) -> list[forms.BoundField]:
        """Those that always stand open."""
        return [field for field in super().visible_fields() if not field.name.startswith(("title_", "text_"))]

    @property
    def in_languages(self) -> list[tuple[str, forms.BoundField, forms.BoundField, bool]]:
        """Name, title, text of each language, and whether there is something in it to look at."""
        rows = [(name, self[f"title_{code}"], self[f"text_{code}"]) for code, name in self.others]
        return [(name, *both, any(one.value() or one.errors for one in both)) for name, *both in rows]  # type: ignore[misc]

    @property
    def is_translated(self) -> bool:
        return any(filled for *_, filled in self.in_languages)

    def told(self) -> dict[str, dict[str, str]]:
        """`titles` and `bodies` by language, those that were filled in."""
        return {
            names: {code: said for code, _ in self.others if (said := self.cleaned_data[f"{start}_{code}"].strip())}
            for names, start in (("titles", "title"), ("bodies", "text"))
        }


class UpdateForm(InLanguages, SeenForm):
    status = forms.ChoiceField(
        label="State",
        widget=forms.RadioSelect,
        error_messages={"invalid_choice": "The incident cannot go there from its state now; choose another."},
    )
    at = UtcField(label="Since when? UTC", help_text="When the new state began; now if nothing changes.")
    customer_text = forms.CharField(
        label="For customers: status page and mail",
        required=False,
        max_length=5000,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text="What happened, what we are doing, what they can do. Plain words; Markdown works. "
        "Empty means customers are told nothing.",
    )
    corrects = forms.BooleanField(
        label="It corrects what we told them before",
        required=False,
        help_text="Page and mail call it a correction; what was said stays to be read.",
    )
    asserts = AssertsField()
    next_update_by = UtcField(label="Next update by, UTC", required=False, ahead=True)
    internal_text = forms.CharField(
        label="For internal readers",
        required=False,
        max_length=5000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="Findings, action, estimate. Goes to everybody who holds a role.",
    )
    reason = forms.CharField(
        label="Reason",
        required=False,
        max_length=300,
        help_text="Needed for going back, for opening again, for Resolved while the recovery gate lacks something, and "
        "to tell customers at a severity that stays off the status page.",
    )

    without = forms.BooleanField(label="Nobody else can approve it now", required=False)
    unapproved = forms.CharField(
        label="Why can it not wait?",
        required=False,
        max_length=300,
        help_text="Stays in the record. Somebody else reviews it within 24 hours.",
    )

    def __init__(self, *args: Any, incident: Incident, latest: datetime | None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.incident = incident
        possible = [incident.status, *incident.NEXT[Incident.Status(incident.status)]]
        choices = [(s.value, s.label) for s in Incident.Status if s.value in possible]
        self.fields["status"].choices = choices  # type: ignore[attr-defined]
        if not Notice.objects.filter(ref=incident.ref).exists():
            del self.fields["corrects"]
        if latest:
            self.fields["next_update_by"].help_text = f"At the latest {latest:%H:%M} UTC; you may promise sooner."
        elif not self.data.get("next_update_by"):  # one typed before the incident was resolved stays to be seen
            del self.fields["next_update_by"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        status, at = cleaned.get("status"), cleaned.get("at")
        if status and at and status != self.incident.status:
            self._check_move(status, at, cleaned)
        if promised := cleaned.get("next_update_by"):
            self._check_promise(promised)
        if text := cleaned.get("customer_text"):
            ask_what_it_asserts(self, text)
            self._check_outside(cleaned)
        return cleaned

    def _check_outside(self, cleaned: dict[str, Any]) -> None:
        rule, why = actions.outside_rule(self.incident), actions.why_inside(self.incident)
        if why and rule == "no":
            self.add_error("customer_text", why)
        elif why and not cleaned.get("reason") and "reason" not in self.errors:
            self.add_error("reason", why)

    def _check_move(self, status: str, at: datetime, cleaned: dict[str, Any]) -> None:
        if at < self.incident.started_at:
            word = Incident.Status(status).label
            self.add_error("at", f"{word} before it started: it started {self.incident.started_at:%Y-%m-%d %H:%M} UTC.")
        elif at > timezone.now() + timedelta(minutes=2):
            self.add_error("at", f"{at:%Y-%m-%d %H:%M} lies ahead; it is {timezone.now():%Y-%m-%d %H:%M} UTC now.")
        told = [gate.SENT] if cleaned.get("customer_text") else []
        missing = lifecycle.gate_lacks(self.incident, status, met_by_deed=told)
        why = self.incident.needs_reason(status, at=at, missing=missing)
        if why and not cleaned.get("reason"):
            self.add_error("reason", why)

    def _check_promise(self, promised: datetime) -> None:
        if promised <= timezone.now():
            self.add_error("next_update_by", f"{promised:%Y-%m-%d %H:%M} UTC has passed; promise a time ahead.")

    def why_unapproved(self) -> str:
        """Why it leaves without approval; empty unless both the tick and the reason are there."""
        return self.cleaned_data["unapproved"] if self.cleaned_data["without"] else ""


def _section(label: str, example: str) -> forms.CharField:
    return forms.CharField(label=label, max_length=1200, help_text=example, widget=forms.Textarea(attrs={"rows": 4}))


class NoticeForm(forms.Form):
    """A formal notice in the sections customers are owed; kept as one text with a heading each (R003-25, R001-41)."""

    happened = _section("What happened", "Two or three plain sentences. No cause you are not sure of.")
    exposed = _section("What data was affected", "Which kinds of personal data, whose, how many people.")
    done = _section("What we have done", "Contained, repaired, still to come.")
    should = _section("What you should do", "Steps, or that nothing is needed; where to ask.")

    def __init__(self, *args: Any, kind: str, text: str = "", **options: Any) -> None:
        super().__init__(*args, **options)
        if kind != Message.Kind.BREACH_NOTICE:
            del self.fields["exposed"]
        for name, field in self.fields.items():
            if (start := f"### {field.label}\n\n") in text:
                self.initial[name] = text.partition(start)[2].partition("\n\n### ")[0]

    def text(self) -> str:
        """The sections as the one text that is approved and sent."""
        parts = (f"### {field.label}\n\n{self.cleaned_data[name]}" for name, field in self.fields.items())
        return "\n\n".join(parts).replace("\r\n", "\n")


class RewriteForm(InLanguages):
    """The text of an update that waits for approval."""

    said = forms.CharField(label="For customers: status page and mail", max_length=5000, widget=forms.Textarea)
    asserts = AssertsField()

    def __init__(self, *args: Any, text: str, asserts: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        self.initial["said"], self.initial["asserts"] = text, "yes" if asserts else ""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        ask_what_it_asserts(self, cleaned.get("said", ""))
        return cleaned

    def text(self) -> str:
        return str(self.cleaned_data["said"])


class StatementForm(forms.Form):
    """Words for press and social media."""

    said = forms.CharField(
        label="For press and social media",
        max_length=5000,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text="Word for word as it is given out. The portal sends it to nobody.",
    )
    why = forms.CharField(
        label="Why is the outside told at this severity?",
        max_length=300,
        error_messages={"required": "Say why the outside is told at a severity that stays inside."},
    )

    def __init__(self, *args: Any, text: str = "", why_inside: str = "", **options: Any) -> None:
        super().__init__(*args, **options)
        self.initial["said"] = text
        if not why_inside:
            del self.fields["why"]

    def text(self) -> str:
        return str(self.cleaned_data["said"])


class PublicPostmortemForm(forms.Form):
    """What customers read of what was learned; once one stands, what was wrong with it."""

    said = forms.CharField(
        label="For customers",
        max_length=BODY_LENGTH,
        widget=forms.Textarea(attrs={"rows": 16}),
        help_text="Markdown. It stands on the page of the incident, in its feeds and in the public interface.",
    )
    corrects = forms.CharField(
        label="What was wrong with the one readers have seen?",
        max_length=300,
        help_text="The page tells them.",
        error_messages={"required": "Say what was wrong with the one readers have seen; the page tells them."},
    )

    def __init__(self, *args: Any, text: str = "", seen: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        self.initial["said"] = text
        if not seen:
            del self.fields["corrects"]

    def text(self) -> str:
        return str(self.cleaned_data["said"])


class WithdrawPostmortemForm(forms.Form):
    reason = forms.CharField(
        label="Why is it withdrawn?",
        max_length=300,
        help_text="The page tells readers.",
        error_messages={"required": "Say why; the page tells readers."},
    )


class VendorForm(forms.Form):
    vendor = forms.ModelChoiceField(
        Vendor.objects.all(),
        label="Which vendor caused it?",
        required=False,
        empty_label="None",
        help_text="The page says so, with a link to the vendor's own status page.",
    )


class LawForm(forms.Form):
    """The date a law or contract demands on this incident."""

    audience = forms.ChoiceField(
        label="Who has to be told?",
        choices=LegalDeadline.Audience.choices,
        widget=forms.RadioSelect,
        error_messages={"required": "Choose who has to be told."},
    )
    name = forms.CharField(
        label="Which law or contract?",
        max_length=120,
        help_text="With its provision, for example: GDPR Art. 33(1).",
        error_messages={"required": "Name the law and its provision, or the contract."},
    )
    runs_from = UtcField(
        label="Runs from, UTC", help_text="The event it counts from, for example when we became aware."
    )
    due_at = UtcField(label="Due, UTC", ahead=True, help_text="Day and time, for example 2026-03-05 14:30.")
    reason = forms.CharField(
        label="Why does it apply?",
        max_length=300,
        help_text="Who decided it, on which facts.",
        error_messages={"required": "Say why it applies; an auditor will ask."},
    )

    def clean_name(self) -> str:
        return " ".join(self.cleaned_data["name"].split())

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        runs_from, due_at, now = cleaned.get("runs_from"), cleaned.get("due_at"), timezone.now()
        if runs_from and runs_from > now + FUTURE_SLACK:
            self.add_error("runs_from", f"{runs_from:%Y-%m-%d %H:%M} lies ahead; it is {now:%Y-%m-%d %H:%M} UTC now.")
        if runs_from and due_at and due_at <= runs_from:
            self.add_error("due_at", "It cannot be due before it runs; correct one of the two times.")
        return cleaned


class WithdrawForm(forms.Form):
    reason = forms.CharField(
        label="Why does it not apply?",
        max_length=300,
        error_messages={"required": "Say why it does not apply; an auditor will ask."},
        help_text="A date that passed while it counted stays missed. For another date, enter that one too.",
    )


class UnapprovedForm(forms.Form):
    reason = forms.CharField(
        label="Why can it not wait?",
        max_length=300,
        error_messages={"required": "Say why it cannot wait for approval."},
        help_text="Stays in the record. Somebody else reviews it within 24 hours.",
    )
    content_hash = forms.CharField(widget=forms.HiddenInput, max_length=64)


class WaiveForm(forms.Form):
    reason = forms.CharField(
        label="Why is this waived?",
        max_length=300,
        error_messages={"required": "Say why; an auditor will ask."},
    )


class SettleForm(forms.Form):
    text = forms.CharField(
        label="What was decided or sent, by whom, where is it filed?",
        max_length=300,
        error_messages={"required": "Write down what was decided or sent."},
    )


class ReviewForm(SettleForm):
    text = forms.CharField(
        label="What did you find?",
        max_length=300,
        help_text="Was it true, clear and fit to leave? Should it have waited?",
        error_messages={"required": "Write down what you found."},
    )


class SendBackForm(forms.Form):
    reason = forms.CharField(
        label="What should change?", max_length=300, error_messages={"required": "Say what should change."}
    )
