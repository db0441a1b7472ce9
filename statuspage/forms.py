"""What visitors fill in: an address, and the components they care about."""

from itertools import groupby
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import cached_property

from irportal.outbox.audiences import in_ascii
from irportal.outbox.wire import wire_address
from statuspage.models import Component, ComponentGroup


class AddressForm(forms.Form):
    email = forms.EmailField(
        label="E-mail address",
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "autocapitalize": "off", "spellcheck": "false"}),
        error_messages={
            "required": "Give the e-mail address updates should go to.",
            "invalid": "This is not one e-mail address, such as you@example.com.",
        },
    )

    def clean_email(self) -> str:
        """The address as it is written to: the domain in ASCII and lower case, the part before it as typed."""
        local, _, domain = in_ascii(self.cleaned_data["email"]).rpartition("@")
        try:
            return wire_address(f"{local}@{domain.lower()}")
        except ValueError as error:
            raise ValidationError("Mail cannot be sent to this address.") from error


class ComponentsField(forms.ModelMultipleChoiceField):
    def clean(self, value: Any) -> Any:
        """Codes are letters and digits; anything else, a NUL above all, is not put to the database."""
        if not all(str(code).isalnum() for code in value or ()):
            raise ValidationError(self.error_messages["invalid_choice"], code="invalid_choice")
        return super().clean(value)


class ChooseForm(forms.Form):
    components = ComponentsField(
        Component.objects.select_related("group"),
        to_field_name="code",
        required=False,
        error_messages={
            "invalid_choice": "One of these components is no longer there; choose again.",
            "invalid_list": "One of these components is no longer there; choose again.",
        },
    )

    @cached_property
    def groups(self) -> list[tuple[ComponentGroup | None, list[tuple[Component, bool]]]]:
        """Components under their groups as the page shows them, each with whether it is ticked."""
        value: Any = self["components"].value() or []
        ticked = {getattr(one, "code", one) for one in value}
        rows = ((component, component.code in ticked) for component in Component.objects.select_related("group"))
        return [(group, list(members)) for group, members in groupby(rows, key=lambda row: row[0].group)]


class SubscribeForm(AddressForm, ChooseForm):
    pass
