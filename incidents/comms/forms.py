"""Writing an update, and ending a duty without one."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from incidents.comms.models import Message
from incidents.lifecycle.forms import SeenForm, UtcField
from incidents.lifecycle.models import Incident


class UpdateForm(SeenForm):
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
    next_update_by = UtcField(label="Next update by, UTC", required=False)
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
        help_text="Needed for going back, for opening again, and for Resolved before its time in Monitoring.",
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
        return cleaned

    def _check_move(self, status: str, at: datetime, cleaned: dict[str, Any]) -> None:
        if at < self.incident.started_at:
            word = Incident.Status(status).label
            self.add_error("at", f"{word} before it started: it started {self.incident.started_at:%Y-%m-%d %H:%M} UTC.")
        elif at > timezone.now() + timedelta(minutes=2):
            self.add_error("at", f"{at:%Y-%m-%d %H:%M} lies ahead; it is {timezone.now():%Y-%m-%d %H:%M} UTC now.")
        why = self.incident.needs_reason(status, at=at)
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


class RewriteForm(forms.Form):
    """The text of an update that waits for approval."""

    said = forms.CharField(label="For customers: status page and mail", max_length=5000, widget=forms.Textarea)

    def __init__(self, *args: Any, text: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.initial["said"] = text

    def text(self) -> str:
        return str(self.cleaned_data["said"])


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
