"""A logo or an icon somebody uploaded: a PNG that is whole, or a drawing in SVG that can do nothing but be drawn.

An SVG is not served as it came. It is written anew from the elements and attributes that are listed here, so that no
browser reads anything in it that was not looked at.
"""

import re
import zlib
from typing import Any, NamedTuple
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from irportal.refused import Refused

LARGEST = 64 * 1024  # bytes
WIDEST = 2000  # pixels
DEEPEST = 40  # elements inside each other
SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink href"
GRADIENTS = {"linearGradient", "radialGradient"}
ELEMENTS = GRADIENTS | set(
    "svg g defs title desc path rect circle ellipse line polyline polygon text tspan stop clipPath mask".split()  # noqa: SIM905
)
ATTRIBUTES = set(
    """id class role version baseProfile viewBox preserveAspectRatio width height x y x1 y1 x2 y2 cx cy r rx ry fx fy fr
    dx dy d points transform pathLength offset gradientUnits gradientTransform spreadMethod clipPathUnits maskUnits
    maskContentUnits fill fill-opacity fill-rule stroke stroke-width stroke-opacity stroke-linecap stroke-linejoin
    stroke-miterlimit stroke-dasharray stroke-dashoffset opacity color stop-color stop-opacity clip-path clip-rule mask
    display visibility overflow vector-effect paint-order shape-rendering font-family font-size font-weight font-style
    text-anchor letter-spacing dominant-baseline textLength lengthAdjust rotate aria-hidden aria-label""".split()  # noqa: SIM905
)
WORDS = {"title", "desc", "text", "tspan"}  # elements whose text is kept
OWN = re.compile(r"""url\(\s*(["']?)#[\w.:-]+\1\s*\)(\s+[\w#]+)?""")  # leads to something in the same drawing
PNG = b"\x89PNG\r\n\x1a\n"


class Picture(NamedTuple):
    content: bytes
    ending: str  # svg or png
    width: int  # pixels; of a drawing, its proportions
    height: int


def read(content: bytes) -> Picture:
    """The picture as it may be served. Raises Refused with what is wrong with it."""
    if len(content) > LARGEST:
        raise Refused(f"The file is larger than {LARGEST // 1024} kB, the most there may be.")
    picture = _png(content) if content.startswith(PNG) else _svg(content)
    if not (0 < picture.width <= WIDEST and 0 < picture.height <= WIDEST):
        raise Refused(f"The picture is {picture.width} by {picture.height} pixels; {WIDEST} each way are the most.")
    return picture


def _png(content: bytes) -> Picture:
    """Every chunk is looked at, up to the end of the file: nothing may hide behind the picture."""
    at, names = len(PNG), []
    while at < len(content):
        length, name = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8]
        end = at + 8 + length
        if zlib.crc32(content[at + 4 : end]) != int.from_bytes(content[end : end + 4]) or end + 4 > len(content):
            raise Refused("The PNG is damaged; save it again.")
        names.append(name)
        at = end + 4
        if name == b"IEND":
            break
    if names[:1] != [b"IHDR"] or b"IDAT" not in names or names[-1] != b"IEND" or at != len(content):
        raise Refused("The file begins like a PNG and is none; save it again.")
    return Picture(content, "png", int.from_bytes(content[16:20]), int.from_bytes(content[20:24]))


def _svg(content: bytes) -> Picture:
    drawing = _Drawing()
    try:
        drawing.parser.Parse(content, True)
    except (expat.ExpatError, UnicodeError, ValueError, LookupError) as error:
        raise Refused(f"The file is neither a PNG nor an SVG that can be read ({error}).") from error
    return Picture("".join(drawing.written).encode(), "svg", *drawing.size)


class _Drawing:
    """What the parser calls; `written` is the drawing anew."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.within: list[str] = []
        self.size = (0, 0)
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.ordered_attributes = True
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self.declares
        self.parser.EntityDeclHandler = self.declares
        self.parser.ProcessingInstructionHandler = self.instructs
        self.parser.StartElementHandler = self.begins
        self.parser.EndElementHandler = self.ends
        self.parser.CharacterDataHandler = self.says

    def declares(self, *declared: Any) -> None:
        raise Refused("The SVG declares a document type or entities; save it without (as plain or optimised SVG).")

    def instructs(self, name: str, said: str) -> None:
        raise Refused(f"The SVG holds the instruction <?{name}?>; save it without.")

    def begins(self, name: str, attributes: list[str]) -> None:
        space, _, element = name.rpartition(" ")
        if not self.within and (space, element) != (SVG, "svg"):
            raise Refused("The file is neither a PNG nor an SVG: an SVG begins with <svg> and its namespace.")
        if space != SVG or element not in ELEMENTS:
            raise Refused(f"The SVG holds <{element}>, which a logo needs not; save it as plain or optimised SVG.")
        if len(self.within) >= DEEPEST:
            raise Refused(f"The SVG has more than {DEEPEST} elements inside each other.")
        pairs = dict(zip(attributes[::2], attributes[1::2], strict=True))
        kept = {named: value for key, value in pairs.items() if (named := _attribute(element, key, value))}
        if not self.within:
            self.size = _size(kept)
            kept = {"xmlns": SVG} | kept
        self.within.append(element)
        self.written.append("".join([f"<{element}", *(f" {key}={quoteattr(kept[key])}" for key in kept), ">"]))

    def ends(self, name: str) -> None:
        self.written.append(f"</{self.within.pop()}>")

    def says(self, text: str) -> None:
        if self.within[-1] in WORDS:
            self.written.append(escape(text))


def _attribute(element: str, key: str, value: str) -> str:
    """The name under which an attribute is written; empty for one that says nothing. Raises Refused."""
    name = "href" if key == XLINK else key
    if name == "http://www.w3.org/XML/1998/namespace space":
        return ""
    if name == "href" and element in GRADIENTS and value.startswith("#"):
        return name
    if name == "href":
        raise Refused(f"The SVG leads to {value[:60]!r}; a logo holds all it shows.")
    if name == "style":
        raise Refused("The SVG holds style attributes; save it with presentation attributes such as fill instead.")
    if name not in ATTRIBUTES:
        raise Refused(f"The SVG holds the attribute {name.rpartition(' ')[2]!r}, which a logo needs not.")
    if "\\" in value or ("(" in value and "url" in value.lower() and not OWN.fullmatch(value.strip())):
        raise Refused(f"The SVG leads to {value[:60]!r}; a logo holds all it shows.")
    return name


def _size(attributes: dict[str, str]) -> tuple[int, int]:
    """By viewBox, or else by width and height in pixels; at most WIDEST, in proportion. Raises Refused."""
    numbers = re.split(r"[\s,]+", attributes.get("viewBox", "").strip())[2:]
    numbers = numbers or [attributes.get(name, "").removesuffix("px") for name in ("width", "height")]
    try:
        width, height = (float(number) for number in numbers)
        scale = min(1, WIDEST / max(width, height))
        return max(1, round(width * scale)), max(1, round(height * scale))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise Refused("The SVG has no viewBox, so that nobody knows how large it is; save it with one.") from error
