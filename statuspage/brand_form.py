"""The form of the brand: colours whose contrast is measured, pictures that are looked into."""

import binascii
from base64 import b64decode, b64encode
from typing import Any, ClassVar, NamedTuple

from django import forms
from django.core.exceptions import ValidationError
from django.utils.html import format_html
from django.utils.safestring import SafeString

from irportal.refused import Refused
from statuspage import colours, pictures
from statuspage.models import Brand


class Chosen(NamedTuple):
    content: bytes | None  # None: no file was chosen
    gone: bool = False  # what is in place shall go


class PictureInput(forms.Widget):
    """A file to choose. What was chosen stays in the form while something else in it is refused."""

    needs_multipart_form = True

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Chosen:
        gone = bool(data.get(f"{name}_gone"))
        if upload := files.get(name):
            upload.seek(0)  # it is read again when the form is shown again
            return Chosen(upload.read(pictures.LARGEST + 1), gone)
        try:
            return Chosen(b64decode(data.get(f"{name}_kept", ""), validate=True) or None, gone)
        except (binascii.Error, ValueError):
            return Chosen(None, gone)

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return False

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        chosen = value if isinstance(value, Chosen) else Chosen(None)
        kept = _usable(chosen.content)
        return format_html(
            '<input type="file" name="{0}" id="{1}" accept=".svg,.png,image/svg+xml,image/png">'
            '<input type="hidden" name="{0}_kept" value="{2}">{3} '
            '<label><input type="checkbox" name="{0}_gone"{4}> take away what is in place</label>',
            name,
            (attrs or {}).get("id", f"id_{name}"),
            b64encode(kept).decode(),
            " The file chosen before is kept." if kept else "",
            SafeString(" checked") if chosen.gone else "",
        )


def _usable(content: bytes | None) -> bytes:
    try:
        return pictures.read(content).content if content else b""
    except Refused:
        return b""


class PictureField(forms.Field):
    """Cleans to bytes that may be served, to none where the picture shall go, to None where it stays as it is."""

    widget = PictureInput

    def clean(self, value: Chosen) -> bytes | None:
        if value.content is None:
            return b"" if value.gone else None
        try:
            return pictures.read(value.content).content
        except Refused as refused:
            raise ValidationError(str(refused)) from refused

    def has_changed(self, initial: Any, data: Chosen | None) -> bool:
        return bool(data and (data.content is not None or (data.gone and initial)))


class BrandForm(forms.ModelForm):
    NEEDED: ClassVar[dict[str, tuple[str, float]]] = {
        "link_light": ("light", colours.TEXT),
        "link_dark": ("dark", colours.TEXT),
        "mark_light": ("light", colours.MARK),
        "mark_dark": ("dark", colours.MARK),
    }

    logo = PictureField(
        required=False, help_text="SVG or PNG, at most 64 kB; shown 40 pixels high instead of the name."
    )
    logo_dark = PictureField(required=False, label="Logo, dark", help_text="Only if the other cannot be seen on dark.")
    icon = PictureField(
        required=False, help_text="SVG or PNG, best square; what browsers show beside the page's title."
    )

    class Meta:
        model = Brand
        fields = ["link_light", "link_dark", "mark_light", "mark_dark", "name_beside_logo", *Brand.PICTURES]
        help_texts = {
            "link_light": "As #1b4f7d; 4.5:1 against the page. Links, and buttons under the pointer.",
            "link_dark": "For readers whose screen is dark. Empty: the colour the page comes with.",
            "mark_light": "3:1 against the page. The line below the head, and the drawing where there is no logo.",
        }

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        for name, (scheme, needed) in self.NEEDED.items():
            if typed := cleaned.get(name):
                self._colour(name, typed, scheme, needed)
        for name in Brand.PICTURES:
            if name in cleaned and cleaned[name] is None:
                cleaned[name] = bytes(getattr(self.instance, name))
        if cleaned.get("logo_dark") and not cleaned.get("logo", True):
            self.add_error("logo_dark", "Choose a logo for light as well: it is what is shown on paper.")
        return cleaned

    def _colour(self, name: str, typed: str, scheme: str, needed: float) -> None:
        try:
            self.cleaned_data[name] = colours.read(typed)
            colours.check(self.cleaned_data[name], scheme, needed)
        except Refused as refused:
            self.add_error(name, str(refused))
