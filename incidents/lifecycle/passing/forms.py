"""Forms to pass roles and shifts on, and to keep the contact list."""

from typing import Any

from django import forms

from incidents.lifecycle.forms import SeenForm
from irportal.accounts.models import User

GONE = "Choose a person from the list; this one left meanwhile."


def active_people() -> Any:
    return User.objects.filter(is_active=True).order_by("name")


def taker() -> forms.ModelChoiceField:
    """Who takes over; the form says among whom."""
    return forms.ModelChoiceField(
        label="Who takes over?",
        queryset=User.objects.none(),
        empty_label="Choose a person",
        error_messages={"required": "Choose who takes over.", "invalid_choice": GONE},
    )


class HandoverForm(forms.Form):
    """Offers the roles this person may pass on: their own, whoever commands any."""

    terms = forms.TypedMultipleChoiceField(
        label="Which role?",
        coerce=int,
        widget=forms.CheckboxSelectMultiple,
        error_messages={
            "required": "Choose the role that is handed over.",
            "invalid_choice": "Meanwhile this changed: that role was passed on. Look at who has it, then send again.",
        },
    )
    to = taker()
    still_open = forms.CharField(
        label="What is open?",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text="What was tried, what runs, who waits for what. Goes to whoever takes over.",
        error_messages={"required": "Say what is open, or that nothing is."},
    )

    def __init__(self, *args: Any, choices: list[tuple[int, str]], **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["terms"].choices = choices  # type: ignore[attr-defined]
        self.fields["to"].queryset = active_people()  # type: ignore[attr-defined]


class ShiftForm(forms.Form):
    to = taker()
    questions = forms.CharField(
        label="Open questions",
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text="What the record does not say. Write “none” if there is none.",
        error_messages={"required": "Write the open questions, or “none”."},
    )

    def __init__(self, *args: Any, me: User, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["to"].queryset = active_people().exclude(pk=me.pk)  # type: ignore[attr-defined]


class ContactForm(SeenForm):
    person = forms.ModelChoiceField(
        label="Person",
        queryset=User.objects.none(),
        required=False,
        empty_label="Nobody: leave it a gap",
        error_messages={"invalid_choice": GONE},
    )
    phone = forms.CharField(label="Phone", max_length=40, required=False)
    pager = forms.CharField(label="Pager id", max_length=60, required=False)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["person"].queryset = active_people()  # type: ignore[attr-defined]
        self.fields["seen"].required = True
        self.fields["seen"].error_messages["required"] = "Open the form from the contact list."
