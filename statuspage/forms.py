"""What visitors fill in: an address, what they want to hear about, how bad it must be, and how to be written to."""

from functools import cache
from itertools import groupby
from typing import Any
from urllib.parse import urlunsplit
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from irportal.outbox.audiences import in_ascii
from irportal.outbox.channels import guard
from irportal.outbox.wire import wire_address
from statuspage import languages
from statuspage.models import Component, ComponentGroup, Customer, Notice, Way
from statuspage.requests import Wanted

FLOORS = {
    Notice.Impact.NONE: _("every incident"),
    Notice.Impact.MINOR: _("minor ones and worse"),
    Notice.Impact.MAJOR: _("major ones and worse"),
    Notice.Impact.CRITICAL: _("critical ones only"),
}
REGIONS = ("Africa", "America", "Antarctica", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")
GONE = _("One of these components is no longer there; choose again.")


@cache
def zones() -> list[tuple[str, str | list[tuple[str, str]]]]:
    """UTC and the zones of the world under their regions, as a select shows them."""
    names = sorted(name for name in available_timezones() if name.partition("/")[0] in REGIONS)
    regions = groupby(names, key=lambda name: name.partition("/")[0])
    return [
        ("UTC", "UTC"),
        *((region, [(name, name.partition("/")[2].replace("_", " ")) for name in found]) for region, found in regions),
    ]


class AddressForm(forms.Form):
    email = forms.EmailField(
        label=_("E-mail address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "autocapitalize": "off", "spellcheck": "false"}),
        error_messages={
            "required": _("Give the e-mail address updates should go to."),
            "invalid": _("This is not one e-mail address, such as you@example.com."),
        },
    )

    def clean_email(self) -> str:
        """The address as it is written to: the domain in ASCII and lower case, the part before it as typed."""
        local, _at, domain = in_ascii(self.cleaned_data["email"]).rpartition("@")
        try:
            return wire_address(f"{local}@{domain.lower()}")
        except ValueError as error:
            raise ValidationError(_("Mail cannot be sent to this address.")) from error


class CodesField(forms.ModelMultipleChoiceField):
    def __init__(self, queryset: Any) -> None:
        messages = {"invalid_choice": GONE, "invalid_list": GONE}
        super().__init__(queryset, to_field_name="code", required=False, error_messages=messages)

    def clean(self, value: Any) -> Any:
        """Codes are letters and digits; anything else, a NUL above all, is not put to the database."""
        if not all(str(code).isalnum() for code in value or ()):
            raise ValidationError(self.error_messages["invalid_choice"], code="invalid_choice")
        return super().clean(value)


class OneOf(forms.ChoiceField):
    """A choice that need not be made: nothing sent means `usual`."""

    def __init__(self, choices: Any, usual: str, label: Any, message: Any) -> None:
        super().__init__(choices=choices, label=label, required=False, error_messages={"invalid_choice": message})
        self.usual = usual

    def clean(self, value: Any) -> str:
        return super().clean(value) or self.usual


class ChooseForm(forms.Form):
    """What to hear about: components and whole groups, from an impact on."""

    groups = CodesField(ComponentGroup.objects.none())
    components = CodesField(Component.objects.none())
    floor = OneOf(FLOORS, Notice.Impact.NONE, _("Which incidents"), _("Choose one of these four."))

    def __init__(self, *args: Any, customer: Customer | None = None, **kwargs: Any) -> None:
        """Offers what the public sees, and what is this customer's alone."""
        super().__init__(*args, **kwargs)
        self.seen = Component.objects.seen_by(customer).select_related("group")
        self.fields["components"].queryset = self.seen  # type: ignore[attr-defined]
        self.fields["groups"].queryset = ComponentGroup.objects.seen_by(customer)  # type: ignore[attr-defined]

    @cached_property
    def listing(self) -> list[tuple[ComponentGroup | None, bool, list[tuple[Component, bool]]]]:
        """Groups as the page shows them, each with its components, and each of both with whether it is ticked."""
        groups, components = self._ticked("groups"), self._ticked("components")
        rows = ((component, component.code in components) for component in self.seen)
        return [
            (group, bool(group and group.code in groups), list(members))
            for group, members in groupby(rows, key=lambda row: row[0].group)
        ]

    def _ticked(self, name: str) -> set[str]:
        value: Any = self[name].value() or []
        return {getattr(one, "code", one) for one in value}


class ReadingForm(forms.Form):
    """How mail is written: its language, and the zone times are told in beside UTC."""

    language = OneOf(languages.names, "en", _("Language"), _("We do not write in this language; choose one of these."))
    time_zone = OneOf(
        zones, "UTC", _("Your time zone"), _("This is not a time zone we know; choose one, such as Europe/Berlin.")
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        field: Any = self.fields["language"]
        field.usual = field.initial = languages.current()


class MailForm(ChooseForm, ReadingForm):
    pass


class SubscribeForm(AddressForm, MailForm):
    def wanted(self) -> Wanted:
        return Wanted(**{name: value for name, value in self.cleaned_data.items() if name != "email"})


class EndpointForm(forms.Form):
    """Where a program or a chat room listens."""

    url = forms.CharField(
        label=_("Address to post to"),
        max_length=500,
        error_messages={
            "required": _("Give the address updates should be posted to."),
            "max_length": _("An address can have 500 characters at most."),
        },
    )

    def clean_url(self) -> str:
        """The address as it is posted to: the host in lower case, no port where it is the usual one."""
        try:
            parts = guard.check(self.cleaned_data["url"], trusted=settings.WEBHOOK_READERS_INSIDE)
            host = guard.ascii_host(parts)
        except guard.Blocked as blocked:
            raise ValidationError(
                _("Nothing can be posted there: %(reason)s. Give a public address that begins with https://."),
                params={"reason": str(blocked)},
            ) from blocked
        port = "" if parts.port in (None, guard.PORTS[parts.scheme]) else f":{parts.port}"
        named = f"[{host}]" if ":" in host else host
        return urlunsplit((parts.scheme, f"{named}{port}", parts.path or "/", parts.query, ""))


class PostForm(EndpointForm, ChooseForm):
    """Updates for a webhook or a chat room."""

    way = forms.ChoiceField(
        choices={
            Way.WEBHOOK: _("A program: signed JSON (webhook)"),
            Way.CHAT: _("A chat room: Slack, Mattermost or what takes the same"),
        },
        label=_("Who listens there?"),
        error_messages={
            "required": _("Say who listens there: a program or a chat room."),
            "invalid_choice": _("Say who listens there: a program or a chat room."),
        },
    )

    def wanted(self) -> Wanted:
        chosen = self.cleaned_data
        return Wanted(groups=chosen["groups"], components=chosen["components"], floor=chosen["floor"])


class FollowForm(AddressForm, ReadingForm):
    """Updates about one incident alone."""

    def wanted(self, incident: Notice) -> Wanted:
        return Wanted(
            incident=incident.code,
            language=self.cleaned_data["language"],
            time_zone=self.cleaned_data["time_zone"],
        )
