"""What staff fill in about planned maintenance. Times are on the organisation's clock."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings

from incidents.lifecycle.forms import SeenForm
from incidents.maintenance import clock
from irportal.refused import Refused
from statuspage.models import Component, Maintenance
from statuspage.plans import LEADS, Plan
from statuspage.rhythm import duration

LEADS_OFFERED = [timedelta(days=7), timedelta(days=3), timedelta(hours=24), timedelta(hours=4), timedelta(hours=1)]
SHOWN = "It stands on the status page and in the mail. Plain words; Markdown is possible."


def zone() -> ZoneInfo:
    return ZoneInfo(settings.ORGANISATION_TIME_ZONE)


class LocalField(forms.CharField):
    """An instant on the organisation's clock; `clock.instant` says what may be typed."""

    def __init__(self, *, label: str) -> None:
        super().__init__(
            label=label,
            max_length=30,
            widget=forms.TextInput(attrs={"autocomplete": "off", "size": 24}),
            error_messages={"required": "Say when."},
        )

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            return clock.instant(text, zone())
        except Refused as refusal:
            raise forms.ValidationError(str(refusal), code="invalid") from None

    def prepare_value(self, value: Any) -> Any:
        return clock.typed(value, zone()) if isinstance(value, datetime) else value

    def get_bound_field(self, form: forms.BaseForm, field_name: str) -> forms.BoundField:
        """The clock may be another one by now: tests and settings change it, the label follows."""
        self.help_text = f"On the clock of {settings.ORGANISATION_TIME_ZONE}, for example 2026-03-05 22:00. "
        self.help_text += "For another clock add UTC or an offset such as +02:00."
        return super().get_bound_field(form, field_name)


class DeedForm(SeenForm):
    """What every deed has: words for readers, and the choice to tell nobody, with its reason."""

    text = forms.CharField(
        label="What should readers know?",
        max_length=5000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text=f"{SHOWN} Without a text one sentence says what happened.",
        error_messages={"required": "Write what readers should know."},
    )
    quiet = forms.BooleanField(
        label="Tell nobody by mail",
        required=False,
        help_text="The status page, feeds and calendars show it all the same. Reminders, start and end are still told.",
    )
    why_quiet = forms.CharField(
        label="Why is nobody told?", required=False, max_length=300, help_text="Stays in the record."
    )

    order = ("text", "quiet", "why_quiet")

    def __init__(self, *args: Any, maintenance: Maintenance | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.order_fields([*(name for name in self.fields if name not in DeedForm.order), *DeedForm.order])
        if maintenance:
            self.fields["seen"].required = True
            self.fields["seen"].error_messages["required"] = "Load the page again; it does not say what you had seen."
            self.initial.setdefault("seen", maintenance.updates.all()[0].pk)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("quiet") and not cleaned.get("why_quiet"):
            self.add_error("why_quiet", "Say why nobody is told; an auditor will ask.")
        if cleaned.get("why_quiet") and not cleaned.get("quiet"):
            self.add_error("quiet", "You gave a reason to tell nobody: tick this, or take the reason out.")
        return cleaned

    def common(self) -> dict[str, Any]:
        """What every deed takes."""
        return {
            "text": self.cleaned_data["text"].replace("\r\n", "\n"),
            "silent": self.cleaned_data["why_quiet"],
        }


class PlanForm(DeedForm):
    title = forms.CharField(
        label="What is worked on?",
        max_length=200,
        help_text="A few plain words, for example: Dashboard database upgrade.",
        error_messages={"required": "Say in a few words what is worked on."},
    )
    starts_at = LocalField(label="Starts")
    ends_at = LocalField(label="Ends")
    components = forms.ModelMultipleChoiceField(
        Component.objects.filter(customer=None),
        label="Which components?",
        widget=forms.CheckboxSelectMultiple,
        error_messages={
            "required": "Choose at least one component; otherwise nobody knows whether it concerns them.",
            "invalid_choice": "One of these components is no longer there; choose again.",
            "invalid_pk_value": "One of these components is no longer there; choose again.",
            "invalid_list": "One of these components is no longer there; choose again.",
        },
    )
    leads = forms.TypedMultipleChoiceField(
        label="Remind before the start",
        required=False,
        coerce=lambda seconds: timedelta(seconds=int(seconds)),
        widget=forms.CheckboxSelectMultiple,
        initial=[int(lead.total_seconds()) for lead in LEADS],
        error_messages={"invalid_choice": "Choose among the times offered."},
    )
    starts_itself = forms.BooleanField(label="Begins by itself at its start", required=False, initial=True)
    ends_itself = forms.BooleanField(label="Ends by itself at its end", required=False, initial=True)

    def __init__(self, *args: Any, plan: Plan | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        if plan is None:
            self.fields["text"].required = True
            self.fields["text"].help_text = f"{SHOWN} What is done, why, what they will notice, whether to do anything."
        else:
            self._fill(plan)
        offered = sorted({*LEADS_OFFERED, *(plan.leads if plan else ())}, reverse=True)
        self.fields["leads"].choices = [(int(lead.total_seconds()), duration(lead)) for lead in offered]  # type: ignore[attr-defined]

    def _fill(self, plan: Plan) -> None:
        for name in ("title", "starts_at", "ends_at", "components", "starts_itself", "ends_itself"):
            self.initial[name] = getattr(plan, name)
        self.initial["leads"] = [int(lead.total_seconds()) for lead in plan.leads]

    def plan(self) -> Plan:
        names = ("title", "starts_at", "ends_at", "leads", "starts_itself", "ends_itself")
        return Plan(
            **{name: self.cleaned_data[name] for name in names}, components=list(self.cleaned_data["components"])
        )


class TellForm(DeedForm):
    status = forms.ChoiceField(label="How far is it?", widget=forms.RadioSelect)

    def __init__(self, *args: Any, maintenance: Maintenance, **options: Any) -> None:
        super().__init__(*args, maintenance=maintenance, **options)
        self.fields["text"].required = True
        self.fields["text"].help_text = SHOWN
        status = Maintenance.Status
        possible = [status.IN_PROGRESS, status.VERIFYING] if maintenance.is_active else [status(maintenance.status)]
        self.fields["status"].choices = [(one.value, one.label) for one in possible]  # type: ignore[attr-defined]
        self.initial["status"] = maintenance.status


class CorrectForm(DeedForm):
    def __init__(self, *args: Any, maintenance: Maintenance, **options: Any) -> None:
        super().__init__(*args, maintenance=maintenance, **options)
        self.fields["text"].required = True
        self.fields["text"].label = "What is right, and what was wrong?"
        self.fields["text"].help_text = f"{SHOWN} Page and mail call it a correction; what was said stays to be read."
        self.fields["text"].error_messages["required"] = "Write what is right, and what was wrong before."


class ExtendForm(DeedForm):
    ends_at = LocalField(label="Ends")

    def __init__(self, *args: Any, maintenance: Maintenance, **options: Any) -> None:
        super().__init__(*args, maintenance=maintenance, **options)
        self.initial["ends_at"] = maintenance.ends_at
