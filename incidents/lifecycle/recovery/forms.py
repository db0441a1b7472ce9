"""Forms about a recovery: numbers, ticks, and the times of kill switches and rollbacks."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from incidents.lifecycle.actions import FUTURE_SLACK
from incidents.lifecycle.forms import NOT_A_TIME, UtcField
from incidents.lifecycle.passing.forms import GONE, active_people
from irportal.accounts.models import User


class SecondsField(UtcField):
    """An instant to the second: what is measured against 60 seconds. Reads `14:30:05`, too."""

    widget = forms.DateTimeInput(attrs={"autocomplete": "off", "size": 20}, format="%Y-%m-%d %H:%M:%S")

    def to_python(self, value: Any) -> datetime | None:
        typed = value.strip() if isinstance(value, str) else ""
        if len(typed) == 8 and typed.count(":") == 2:
            now = timezone.now().astimezone(UTC)
            try:
                clock = datetime.strptime(typed, "%H:%M:%S").time()
            except ValueError:
                raise forms.ValidationError(NOT_A_TIME, code="invalid") from None
            at = datetime.combine(now.date(), clock, tzinfo=UTC)
            return at if at <= now + FUTURE_SLACK else at - timedelta(days=1)
        return super().to_python(value)


def _number(label: str, help_text: str = "") -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        required=False,
        min_value=0,
        max_digits=9,
        decimal_places=3,
        help_text=help_text,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "size": 10}),
        error_messages={"invalid": "Write a number such as 0.4.", "min_value": "That is below zero."},
    )


class ReadingForm(forms.Form):
    error_rate = _number("Error rate, percent", "Below 1 before it counts as recovered.")
    latency = _number("Latency P95, ms")
    baseline = _number("Latency on a quiet day, ms", "The most it usually is; the latency has to be back there.")
    new_alerts = _number("New alerts since Monitoring began", "0 if none.")
    source = forms.CharField(
        label="Where did you read it?",
        max_length=120,
        help_text="For example the name of the dashboard.",
        error_messages={"required": "Say where the numbers come from."},
    )
    at = UtcField(label="Read at, UTC")

    def numbers(self) -> dict[str, Any]:
        """What was entered, by signal."""
        names = ("error_rate", "latency", "new_alerts")
        return {name: self.cleaned_data[name] for name in names if self.cleaned_data[name] is not None}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("latency") is not None and cleaned.get("baseline") is None and "baseline" not in self.errors:
            self.add_error("baseline", "Say what the latency is on a quiet day; else nobody can tell if it is back.")
        return cleaned


class TickForm(forms.Form):
    """A tick needs no words; taking one back does. `given` carries which of the two the person was shown."""

    given = forms.ChoiceField(
        choices=[("yes", "Give it"), ("no", "Take it back")],
        widget=forms.HiddenInput,
        error_messages={"required": "Open the form from the incident's page.", "invalid_choice": "That is no tick."},
    )
    note = forms.CharField(label="Note", max_length=300, required=False)

    def __init__(self, data: Any = None, *, given: bool) -> None:
        super().__init__(data, initial={"given": "yes" if given else "no"})
        if not given:
            self.fields["note"].label = "Why is it taken back?"
            self.fields["note"].required = True
            self.fields["note"].error_messages["required"] = "Say why it is taken back."
        else:
            self.fields["note"].help_text = "Where it can be seen, for example a link or a ticket."


class ControlForm(forms.Form):
    target = forms.CharField(
        label="Of what?",
        max_length=120,
        help_text="The agent, model or service, with its version.",
        error_messages={"required": "Say which agent, model or service."},
    )
    at = SecondsField(label="When, UTC", help_text="To the second: 14:30:05.")
    who = forms.ModelChoiceField(
        label="By whom?",
        queryset=User.objects.none(),
        empty_label="Choose a person",
        error_messages={
            "required": "Choose who did it.",
            "invalid_choice": GONE,
        },
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["who"].queryset = active_people()  # type: ignore[attr-defined]


class ConfirmForm(forms.Form):
    at = SecondsField(label="Confirmed at, UTC", help_text="To the second: 14:30:05.")
    proof = forms.CharField(
        label="How was it seen?",
        max_length=300,
        help_text="For example: new requests get 503; the old version's hash is serving.",
        error_messages={"required": "Say how it was seen."},
    )
