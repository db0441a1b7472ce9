"""Forms about the record. They offer only what is possible now; instants are read and shown in UTC."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.forms.utils import ErrorList
from django.utils import timezone

from incidents.lifecycle.actions import FUTURE_SLACK, NO_POLICY
from incidents.lifecycle.models import Incident, Role, TimelineEntry
from incidents.policy.models import IncidentType, PolicyVersion
from irportal.accounts.models import User
from statuspage.models import Component

UNTOUCHED = ("", "Not affected")
NOT_A_TIME = "That is not a time. Write 14:30, or 2025-10-24 14:30 for another day, in UTC."


class UtcField(forms.DateTimeField):
    """An instant in UTC. Reads `2025-10-24 14:30`, with a T between too, or `14:30` for the last one, `ahead` the next.

    A plain text field, not the browser's picker: that one shows 12 hours and American dates to some.
    """

    widget = forms.DateTimeInput(attrs={"autocomplete": "off", "size": 16}, format="%Y-%m-%d %H:%M")

    def __init__(self, *, ahead: bool = False, **options: Any) -> None:
        self.ahead = ahead
        options.setdefault("error_messages", {"invalid": NOT_A_TIME, "required": "Say when, in UTC."})
        super().__init__(**options)

    def to_python(self, value: Any) -> datetime | None:
        if "\0" in str(value):  # the last one would be stripped like a space
            raise forms.ValidationError(NOT_A_TIME, code="invalid")
        if isinstance(value, str) and len(value.strip()) == 5 and value.strip()[2] == ":":
            now = timezone.now().astimezone(UTC)
            try:
                clock = datetime.strptime(value.strip(), "%H:%M").time()
            except ValueError:
                raise forms.ValidationError(NOT_A_TIME, code="invalid") from None
            at = datetime.combine(now.date(), clock, tzinfo=UTC)
            if self.ahead:
                return at if at > now else at + timedelta(days=1)
            return at if at <= now + FUTURE_SLACK else at - timedelta(days=1)
        return super().to_python(value)


class SeenForm(forms.Form):
    """Carries what the person had seen, so that a change by somebody else meanwhile is shown, not overwritten."""

    seen = forms.IntegerField(widget=forms.HiddenInput, required=False)
    was_refused = False

    def see(self, newest: int) -> None:
        """Everything up to timeline entry `newest` is now on the person's screen."""
        data = self.data.copy()  # type: ignore[attr-defined]  # a QueryDict's own copy keeps lists as lists
        data["seen"] = str(newest)
        self.data = data


class ImpactFields(forms.Form):
    """One select per component: how it is affected. A component deleted meanwhile is named, not ignored."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.known = list(Component.objects.select_related("group").order_by("group__position", "position", "name"))
        for component in self.known:
            self.fields[f"component_{component.pk}"] = forms.ChoiceField(
                label=component.name,
                required=False,
                choices=[
                    UNTOUCHED,
                    *(c for c in Component.State.choices if c[0] not in ("operational", "under_maintenance")),
                ],
            )

    def component_fields(self) -> list[forms.BoundField]:
        return [self[f"component_{component.pk}"] for component in self.known]

    def components(self) -> list[tuple[Component, str]]:
        """The touched components with their states."""
        chosen = ((component, self.cleaned_data.get(f"component_{component.pk}")) for component in self.known)
        return [(component, state) for component, state in chosen if state]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        offered = {f"component_{component.pk}" for component in self.known}
        gone = [key for key in self.data if key.startswith("component_") and key not in offered and self.data[key]]
        if gone:
            self.add_error(
                None,
                "A component you marked was deleted meanwhile. Check the components below and send again.",
            )
        return cleaned


def _types(labels: dict[int, str]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The kinds by family, each with the severity it suggests as the policy calls it."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for row in IncidentType.objects.all():
        label = labels.get(row.suggested_rank or 0)
        suggests = f" (suggests {label})" if label else ""
        groups.setdefault(row.get_family_display(), []).append((row.code, f"{row}{suggests}"))
    return [("", [("", "Choose what fits best")]), *groups.items()]


class DeclareForm(ImpactFields):
    title = forms.CharField(
        label="What do people see?",
        max_length=120,
        help_text="Plain words, no names, no cause. It may become the public title.",
        error_messages={"required": "Say in a few words what people see, for example: Agent API unavailable."},
    )
    type = forms.ModelChoiceField(
        label="What kind of incident is it?",
        queryset=IncidentType.objects.all(),
        error_messages={
            "required": "Choose the kind that fits best; Other is there too.",
            "invalid_choice": "Choose a kind from the list; Other is there too.",
        },
    )
    severity = forms.TypedChoiceField(
        label="How bad is it? The worst line that fits decides.",
        coerce=int,
        widget=forms.RadioSelect,
        error_messages={
            "required": "Choose a severity.",
            "invalid_choice": "That is not a severity of the policy in force.",
        },
    )
    impact = forms.CharField(
        label="What do customers notice?",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": "Say what customers notice, or that they notice nothing."},
    )
    started_at = UtcField(label="Started, UTC", help_text="When the impact began; an estimate is fine.")
    detected_at = UtcField(label="First noticed, UTC")
    source = forms.ChoiceField(label="How was it noticed?", choices=Incident.Source.choices)
    commander = forms.ModelChoiceField(
        label="Incident commander",
        queryset=User.objects.none(),
        empty_label="Choose a commander",
        error_messages={
            "required": "Somebody has to command; choose who.",
            "invalid_choice": "Choose a commander from the list; this person may not command, or left meanwhile.",
        },
    )
    personal_data = forms.ChoiceField(
        label="Is personal data involved?",
        choices=Incident.Known.choices,
        widget=forms.RadioSelect,
        initial="unknown",
    )
    ai_involved = forms.ChoiceField(
        label="Does an AI model or agent play a part?",
        choices=Incident.Known.choices,
        widget=forms.RadioSelect,
        initial="unknown",
    )

    def __init__(self, *args: Any, policy: PolicyVersion | None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.policy = policy
        levels = [level for level in policy.severities.all() if level.enabled] if policy else []
        self.labels = {level.rank: level.label for level in levels}
        self.fields["severity"].choices = [(level.rank, str(level)) for level in levels]  # type: ignore[attr-defined]
        self.fields["commander"].queryset = commanders()  # type: ignore[attr-defined]
        self.fields["type"].choices = _types(self.labels)  # type: ignore[attr-defined]

    def clean_title(self) -> str:
        return " ".join(self.cleaned_data["title"].split())

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if self.policy is None:
            self.add_error(None, NO_POLICY)
        now, kind = timezone.now(), cleaned.get("type")
        started, detected = cleaned.get("started_at"), cleaned.get("detected_at")
        for name, at in (("started_at", started), ("detected_at", detected)):
            if at and at > now + FUTURE_SLACK:
                self.add_error(name, f"{at:%Y-%m-%d %H:%M} lies ahead; it is {now:%Y-%m-%d %H:%M} UTC now.")
        if started and detected and detected < started:
            self.add_error("detected_at", "It cannot be noticed before it started; correct one of the two times.")
        label = self.labels.get(kind.suggested_rank or 0) if kind else None
        if kind and label and "severity" not in cleaned and not self.data.get("severity"):
            self.errors["severity"] = ErrorList([f"Choose a severity. {kind.name} suggests {label}: {kind.why}"])
        return cleaned


def commanders() -> Any:
    """Active people whose role lets them command."""
    return User.objects.filter(is_active=True, groups__name__in=["commander", "admin"]).distinct().order_by("name")


class SeverityForm(SeenForm):
    severity = forms.TypedChoiceField(
        label="How bad is it now? The worst line that fits decides.",
        coerce=int,
        widget=forms.RadioSelect,
        error_messages={"invalid_choice": "That is not a severity of the policy this incident was declared under."},
    )
    reason = forms.CharField(
        label="Why?",
        max_length=300,
        error_messages={"required": "Say why; an auditor will ask."},
        help_text="For example the line of the definition that fits now.",
    )

    def __init__(self, *args: Any, incident: Incident, **options: Any) -> None:
        super().__init__(*args, **options)
        levels = incident.policy_version.severities.filter(enabled=True)
        self.fields["severity"].choices = [(level.rank, str(level)) for level in levels]  # type: ignore[attr-defined]


class RoleForm(SeenForm):
    role = forms.ChoiceField(label="Role", choices=Role.choices)
    person = forms.ModelChoiceField(
        label="Person",
        queryset=User.objects.filter(is_active=True).order_by("name"),
        empty_label="Choose a person",
        error_messages={
            "required": "Choose who takes the role.",
            "invalid_choice": "Choose a person from the list; this one left meanwhile.",
        },
    )
    reason = forms.CharField(label="Reason", max_length=200, required=False)
    still_open = forms.CharField(
        label="What is open?",
        max_length=2000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Needed where somebody holds the role by now; goes to whoever takes over.",
    )


class ImpactForm(SeenForm, ImpactFields):
    impact = forms.CharField(
        label="What do customers notice?",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": "Say what customers notice, or that they notice nothing."},
    )
    estimate = forms.CharField(
        label="Expected to be over",
        max_length=120,
        required=False,
        help_text="For internal readers, for example: 15:30 UTC if the restart works.",
    )
    personal_data = forms.ChoiceField(
        label="Is personal data involved?", choices=Incident.Known.choices, widget=forms.RadioSelect
    )
    ai_involved = forms.ChoiceField(
        label="Does an AI model or agent play a part?",
        choices=Incident.Known.choices,
        widget=forms.RadioSelect,
    )
    ai_harm = forms.ChoiceField(
        label="Did its output or action harm anybody?",
        choices=Incident.Known.choices,
        widget=forms.RadioSelect,
        help_text="Health, money, rights or reputation of anybody outside.",
    )
    material = forms.BooleanField(
        label="Material for the business",
        required=False,
        help_text="A critical one is then told to the board's secretary the same day, and to the press as legal says.",
    )


class NoteForm(forms.Form):
    at = UtcField(label="At, UTC")
    text = forms.CharField(label="What happened?", max_length=4000, error_messages={"required": "Write what happened."})
    marker = forms.ChoiceField(
        label="Marks",
        required=False,
        choices=[
            ("", "Nothing special"),
            (TimelineEntry.Marker.CONTAINED.value, "Contained: harm stops growing"),
        ],
    )


class CorrectionForm(forms.Form):
    at = UtcField(label="Happened at, UTC")
    text = forms.CharField(
        label="What happened, corrected",
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": "Write what happened."},
    )
