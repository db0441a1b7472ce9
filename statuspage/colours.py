"""Contrast as WCAG 2.2 measures it, between a colour of the brand and what it is drawn on."""

import colorsys
import math
import re

from irportal.refused import Refused

# What lies beneath links and marks in css/status.css: --paper and --sheet.
SURFACES = {"light": ("#f6f5f1", "#ffffff"), "dark": ("#10171c", "#182127")}
TEXT, MARK = 4.5, 3.0  # WCAG 1.4.3 and 1.4.11
STEPS = 1000  # of lightness that are looked at


def read(typed: str) -> str:
    """A colour as it was typed, as `#rrggbb` in lower case. Raises Refused."""
    digits = typed.strip().lower().removeprefix("#")
    if re.fullmatch("[0-9a-f]{3}", digits):
        digits = "".join(digit * 2 for digit in digits)
    if not re.fullmatch("[0-9a-f]{6}", digits):
        raise Refused(f"{typed!r} is no colour; write it as #1b4f7d.")
    return f"#{digits}"


def ratio(one: str, other: str) -> float:
    """From 1 for the same colour to 21 for black and white."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def check(colour: str, scheme: str, needed: float) -> None:
    """Refuse a colour that cannot be seen well enough on every surface of the scheme, and name one that can."""
    surface = min(SURFACES[scheme], key=lambda surface: ratio(colour, surface))
    measured = ratio(colour, surface)
    if measured < needed:
        seen = math.floor(measured * 100) / 100  # never rounded up to what is needed
        raise Refused(
            f"{colour} on the {scheme} page's {surface} has a contrast of {seen:.2f}:1, and {needed:g}:1 is needed. "
            f"The nearest colour of this hue that has it is {nearest(colour, scheme, needed)}."
        )


def nearest(colour: str, scheme: str, needed: float) -> str:
    """The colour of the same hue and saturation, as little lighter or darker as passes."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*_parts(colour))
    by_distance = sorted((step / STEPS for step in range(STEPS + 1)), key=lambda other: abs(other - lightness))
    found = (_hex(colorsys.hls_to_rgb(hue, other, saturation)) for other in by_distance)
    return next(one for one in found if all(ratio(one, surface) >= needed for surface in SURFACES[scheme]))


def _luminance(colour: str) -> float:
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in _parts(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _parts(colour: str) -> tuple[float, float, float]:
    red, green, blue = bytes.fromhex(colour[1:])
    return red / 255, green / 255, blue / 255


def _hex(parts: tuple[float, float, float]) -> str:
    return "#" + bytes(round(part * 255) for part in parts).hex()
