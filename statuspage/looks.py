"""How the page looks where somebody chose so: colours in a stylesheet of its own, a logo and an icon.

Names hold a hash of what is in them, so that whoever fetched one may keep it for ever.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.urls import reverse

from statuspage import pictures
from statuspage.models import Brand

LOGO = ".brand { display: block; width: auto; max-width: min(15rem, 100%); height: 2.5rem; object-fit: contain; }"
# Paper is light, whatever the screen is.
MEDIA = {"light": "print, (prefers-color-scheme: light)", "dark": "screen and (prefers-color-scheme: dark)"}


class File(NamedTuple):
    name: str
    content: bytes


def current() -> Brand | None:
    """Without the bytes of its pictures."""
    return Brand.objects.defer(*Brand.PICTURES).first()


def shown() -> dict[str, Any]:
    """What a page needs: `style` and `icon` as addresses, `logo` with its size; each only where there is one."""
    brand = current()
    if brand is None:
        return {}
    found: dict[str, Any] = {
        name: {**facts, "address": address(facts["name"])} for name, facts in brand.pictures.items()
    }
    if style := stylesheet(brand):
        found["style"] = address(style.name)
    return found | {"name_beside_logo": brand.name_beside_logo}


def address(name: str) -> str:
    return reverse("statuspage:brand", args=[name])


def names() -> Iterable[str]:
    """Of every file there is now."""
    brand = current()
    if brand is None:
        return []
    style = stylesheet(brand)
    return [*([style.name] if style else []), *(facts["name"] for facts in brand.pictures.values())]


def file(name: str) -> File | None:
    """The file of this name, as long as it is one of the brand's."""
    brand = Brand.objects.first()
    if brand is None:
        return None
    style = stylesheet(brand)
    if style and style.name == name:
        return style
    found = [picture for picture, facts in brand.pictures.items() if facts["name"] == name]
    return File(name, bytes(getattr(brand, found[0]))) if found else None


def stylesheet(brand: Brand) -> File | None:
    """What the brand adds to css/status.css; None where it is nothing."""
    rules = [_scheme(scheme, *brand.colours(scheme)) for scheme in MEDIA]
    rules.append(LOGO if "logo" in brand.pictures else "")
    text = "\n".join(filter(None, rules))
    return _named("style", "css", text.encode()) if text else None


def _scheme(scheme: str, link: str, mark: str) -> str:
    rules = [
        f":root {{ --link: {link}; }}" if link else "",
        f".top {{ border-bottom: 3px solid {mark}; }} .name .logo {{ color: {mark}; }}" if mark else "",
    ]
    said = " ".join(filter(None, rules))
    return f"@media {MEDIA[scheme]} {{ {said} }}" if said else ""


def facts_of(content: bytes, use: str) -> dict[str, Any]:
    """What pages say of a picture that was read: its name and its size in pixels."""
    picture = pictures.read(content)
    name = _named(use.replace("_", "-"), picture.ending, content).name
    return {"name": name, "width": picture.width, "height": picture.height}


def _named(use: str, ending: str, content: bytes) -> File:
    return File(f"{use}-{hashlib.sha256(content).hexdigest()[:16]}.{ending}", content)
