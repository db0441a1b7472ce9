"""How the page looks where an admin chose so: colours that can be seen, pictures that can do no harm."""

import re
import zlib
from base64 import b64encode
from html import unescape

import brotli
import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command

from irportal.ledger.models import Entry
from irportal.refused import Refused
from statuspage import colours, documents, editions, looks, pictures
from statuspage.models import Brand, Document
from tests.statuspage.factories import component, publish

ADD, CHANGE = "/admin/statuspage/brand/add/", "/admin/statuspage/brand/1/change/"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 40">%s</svg>'
LOGO = SVG % b'<title>A &amp; B</title><path d="M0 0h120v40H0z" fill="#1b4f7d"/>'
COLOURS = {"link_light": "#0b5394", "link_dark": "#9fc5e8", "mark_light": "#cc4400", "mark_dark": "#ff8844"}


def chunk(name: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + name + content + zlib.crc32(name + content).to_bytes(4)


def png(width: int = 4, height: int = 2, after: bytes = b"") -> bytes:
    head = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 0, 0, 0, 0])
    rows = zlib.compress(b"\0" * 5 * 2)
    return pictures.PNG + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"") + after


def file(content: bytes, name: str = "logo.svg") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


# Contrast


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("#000000", "#ffffff", 21),
        ("#ffffff", "#ffffff", 1),
        ("#767676", "#ffffff", 4.54),
        ("#777777", "#ffffff", 4.48),
        ("#ff0000", "#ffffff", 4.00),
        ("#0000ff", "#ffffff", 8.59),
        ("#00ff00", "#000000", 15.30),
    ],
)
def test_contrast_is_measured_as_wcag_has_it(one, other, expected):
    assert colours.ratio(one, other) == colours.ratio(other, one) == pytest.approx(expected, abs=0.005)


def test_the_surfaces_are_those_of_the_stylesheet():
    css = (settings.BASE_DIR / "static" / "css" / "status.css").read_text()
    light, dark = (
        re.search(rf"{before}--paper: (\S+); --sheet: (\S+);", css)[0]
        for before in ("var\\(--sheet\\);\\s+", ":root {\\s+")
    )
    for scheme, text in (("light", light), ("dark", dark)):
        assert tuple(colours.read(found) for found in re.findall(r"#[0-9a-f]+", text)) == colours.SURFACES[scheme]


@pytest.mark.parametrize("needed", [colours.TEXT, colours.MARK])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("colour", ["#ffcc00", "#1b4f7d", "#777777", "#00ff00", "#e91e63", "#000000", "#ffffff"])
def test_the_nearest_colour_passes_has_the_same_hue_and_is_the_colour_itself_where_that_passes(colour, scheme, needed):
    found = colours.nearest(colour, scheme, needed)
    colours.check(found, scheme, needed)
    mine, its = bytes.fromhex(colour[1:]), bytes.fromhex(found[1:])
    for a, b in ((0, 1), (1, 2), (0, 2)):
        assert (mine[a] - mine[b]) * (its[a] - its[b]) >= 0  # the order of red, green and blue is the hue's sextant
    if all(colours.ratio(colour, surface) >= needed for surface in colours.SURFACES[scheme]):
        assert all(abs(a - b) <= 1 for a, b in zip(mine, its, strict=True))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("#1B4F7D", "#1b4f7d"), ("abc", "#aabbcc"), (" #fff ", "#ffffff"), ("blue", None), ("#12", None)],
)
def test_a_colour_is_read_as_people_write_it(typed, meant):
    if meant:
        assert colours.read(typed) == meant
    else:
        with pytest.raises(Refused, match="is no colour"):
            colours.read(typed)


# Pictures


HOSTILE = {
    "script": (SVG % b"<script>alert(1)</script>", "<script>"),
    "script of XHTML": (SVG % b'<h:script xmlns:h="http://www.w3.org/1999/xhtml">alert(1)</h:script>', "<script>"),
    "event": (SVG % b'<path d="M0 0" onload="alert(1)"/>', "'onload'"),
    "event of the root": (LOGO.replace(b"viewBox", b'onload="alert(1)" viewBox'), "'onload'"),
    "foreignObject": (SVG % b"<foreignObject/>", "<foreignObject>"),
    "image": (SVG % b'<image href="https://evil.example/x.png"/>', "<image>"),
    "use": (SVG % b'<use href="#a"/>', "<use>"),
    "link": (SVG % b'<a href="javascript:alert(1)"><path d="M0 0"/></a>', "<a>"),
    "animation": (SVG % b'<animate attributeName="href" to="javascript:alert(1)"/>', "<animate>"),
    "set": (SVG % b'<set attributeName="onload" to="alert(1)"/>', "<set>"),
    "style element": (SVG % b"<style>path { fill: url(https://evil.example/) }</style>", "<style>"),
    "style attribute": (SVG % b'<path style="fill:url(https://evil.example/#a)" d="M0 0"/>', "style attributes"),
    "paint elsewhere": (SVG % b'<path fill="url(https://evil.example/#a)" d="M0 0"/>', "evil.example"),
    "paint elsewhere, in capitals": (SVG % b'<path fill="URL(//evil.example/#a)" d="M0 0"/>', "evil.example"),
    "paint elsewhere, escaped": (SVG % rb'<path fill="u\72l(//evil.example/#a)" d="M0 0"/>', "evil.example"),
    "paint elsewhere, by entity": (SVG % b'<path fill="&#117;rl(//evil.example/#a)" d="M0 0"/>', "evil.example"),
    "two paints": (SVG % b'<path fill="url(#a) url(//evil.example)" d="M0 0"/>', "evil.example"),
    "gradient elsewhere": (SVG % b'<linearGradient href="//evil.example/#a"/>', "evil.example"),
    "xlink elsewhere": (
        SVG % b'<linearGradient xmlns:x="http://www.w3.org/1999/xlink" x:href="//evil.example/#a"/>',
        "evil.example",
    ),
    "base": (LOGO.replace(b"viewBox", b'xml:base="https://evil.example/" viewBox'), "'base'"),
    "doctype": (b"<!DOCTYPE svg>" + LOGO, "document type"),
    "entities": (
        b'<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + SVG % b"<text>&b;</text>",
        "document type",
    ),
    "file of ours": (b'<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + LOGO, "document type"),
    "unknown entity": (SVG % b"<text>&a;</text>", "neither a PNG nor an SVG"),
    "instruction": (b'<?xml-stylesheet href="https://evil.example/"?>' + LOGO, "xml-stylesheet"),
    "another namespace": (LOGO.replace(b"w3.org/2000/svg", b"evil.example"), "its namespace"),
    "no namespace": (b"<svg/>", "its namespace"),
    "page": (b"<!doctype html><script>alert(1)</script>", "neither a PNG nor an SVG"),
    "cut off": (LOGO[:-4], "neither a PNG nor an SVG"),
    "nothing": (b"", "neither a PNG nor an SVG"),
    "unknown encoding": (b'<?xml version="1.0" encoding="evil"?>' + LOGO, "neither a PNG nor an SVG"),
    "deep": (SVG % (b"<g>" * 50 + b"</g>" * 50), "inside each other"),
    "no size": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "viewBox"),
    "endless": (LOGO.replace(b"120 40", b"inf nan"), "viewBox"),
    "large": (SVG % (b"<g/>" * 20_000), "64 kB"),
    "GIF": (b"GIF89a", "neither a PNG nor an SVG"),
    "PNG that is cut off": (png()[:-3], "damaged"),
    "PNG that was changed": (png().replace(b"IDAT", b"iDAT"), "damaged"),
    "PNG with something behind it": (png(after=b"<script>"), "is none"),
    "PNG without a picture": (pictures.PNG + chunk(b"IEND", b""), "is none"),
    "PNG's first bytes": (pictures.PNG, "is none"),
    "PNG too wide": (png(width=60_000), "60000 by 2 pixels"),
    "PNG of no height": (png(height=0), "by 0 pixels"),
}


@pytest.mark.parametrize(("content", "why"), HOSTILE.values(), ids=HOSTILE.keys())
def test_what_could_do_more_than_be_drawn_is_refused_with_the_reason(content, why):
    with pytest.raises(Refused, match=re.escape(why)):
        pictures.read(content)


def test_a_drawing_is_written_anew_without_what_only_editors_read():
    typed = b'<?xml version="1.0"?>\n<!-- by an editor -->\n' + LOGO.replace(b"<path", b"between<!-- x --><path")
    picture = pictures.read(typed)

    assert picture.content == LOGO.replace(b"/>", b"></path>")
    assert pictures.read(picture.content) == picture
    assert (picture.ending, picture.width, picture.height) == ("svg", 120, 40)


def test_what_logos_are_made_of_stays():
    inside = (
        b'<defs><linearGradient id="a"><stop offset="0" stop-color="#fff"/></linearGradient>'
        b'<linearGradient id="b" href="#a"/><clipPath id="c"><circle r="5"/></clipPath></defs>'
        b'<g clip-path="url(#c)" transform="translate(1 2)"><rect fill="url(#b)" width="9" height="9"/></g>'
    )
    content = pictures.read(SVG % inside).content

    assert {b'href="#a"', b'fill="url(#b)"', b'clip-path="url(#c)"', b'transform="translate(1 2)"'} <= set(
        re.findall(rb'[\w-]+="[^"]*"', content)
    )


def test_a_png_stays_as_it_is():
    assert pictures.read(png(64, 32)) == pictures.Picture(png(64, 32), "png", 64, 32)


# The form


@pytest.fixture
def settings_page(db, client, root):
    client.force_login(root)
    return client


def said(answer) -> str:
    return unescape(answer.content.decode())


def settle() -> None:
    while editions.refresh():
        pass


def test_a_colour_that_cannot_be_seen_is_refused_with_one_that_can_and_nothing_is_lost(settings_page):
    page = said(settings_page.post(ADD, COLOURS | {"link_light": "#ffcc00", "logo": file(LOGO)}))

    assert not Brand.objects.exists()
    assert "#ffcc00 on the light page's #f6f5f1 has a contrast of 1.38:1, and 4.5:1 is needed." in page
    nearest = re.search(r"The nearest colour of this hue that has it is (#[0-9a-f]{6})\.", page)[1]
    for typed in ["#ffcc00", *list(COLOURS.values())[1:]]:
        assert f'value="{typed}"' in page
    kept = re.search(r'name="logo_kept" value="([^"]+)"', page)[1]

    settings_page.post(ADD, COLOURS | {"link_light": nearest, "logo_kept": kept})
    assert Brand.objects.get().link_light == nearest
    assert Brand.objects.get().pictures["logo"]["width"] == 120


@pytest.mark.parametrize(
    ("name", "colour", "passes"),
    [
        ("mark_light", "#d06000", True),  # 3:1, not 4.5:1
        ("link_light", "#d06000", False),
        ("link_dark", "#1b4f7d", False),
        ("mark_dark", "#1b4f7d", False),
        ("link_dark", "#9fc5e8", True),
    ],
)
def test_links_need_more_than_marks_and_each_scheme_is_measured_by_itself(settings_page, name, colour, passes):
    settings_page.post(ADD, {name: colour})

    assert Brand.objects.exists() == passes


@pytest.mark.parametrize("how", ["chosen", "kept"])
def test_a_picture_that_could_do_harm_is_refused_in_the_form_however_it_is_sent(settings_page, how):
    content = HOSTILE["script"][0]
    sent = {"logo": file(content)} if how == "chosen" else {"logo_kept": b64encode(content).decode()}
    page = said(settings_page.post(ADD, COLOURS | sent))

    assert "The SVG holds <script>" in page
    assert 'name="logo_kept" value=""' in page
    assert not Brand.objects.exists()


def test_a_logo_for_dark_alone_is_refused(settings_page):
    assert "Choose a logo for light as well" in said(settings_page.post(ADD, {"logo_dark": file(LOGO)}))


def test_each_change_is_recorded_with_colours_and_hashes(settings_page):
    settings_page.post(ADD, COLOURS | {"icon": file(png(), "icon.png")})
    settings_page.post(CHANGE, COLOURS | {"mark_dark": "#ffffff"})
    name = Brand.objects.get().pictures["icon"]["name"]
    settings_page.post("/admin/statuspage/brand/1/delete/", {"post": "yes"})
    added, changed, deleted = (entry.line for entry in Entry.objects.filter(deed="brand.changed").order_by("n"))

    assert '"link_light":"#0b5394"' in added
    assert f'"icon":"{name}"' in added
    assert '"mark_dark":"#ffffff"' in changed
    assert "icon" not in changed
    assert '"what":"deleted"' in deleted


def test_a_picture_stays_until_it_is_taken_away(settings_page):
    settings_page.post(ADD, {"logo": file(LOGO)})
    settings_page.post(CHANGE, COLOURS)
    assert bytes(Brand.objects.get().logo) == pictures.read(LOGO).content

    settings_page.post(CHANGE, COLOURS | {"logo_gone": "on"})
    assert Brand.objects.get().pictures == {}


def test_settings_lead_to_the_one_row(settings_page):
    assert settings_page.get("/admin/statuspage/brand/").url == ADD
    settings_page.post(ADD, COLOURS)
    assert settings_page.get("/admin/statuspage/brand/").url == CHANGE
    assert "#0b5394" in said(settings_page.get(CHANGE))
    assert settings_page.get(ADD).status_code == 403


@pytest.mark.parametrize("who", ["ada", "grace", "lin"])
def test_only_admins_choose_how_the_page_looks(client, request, who):
    client.force_login(request.getfixturevalue(who))
    client.post(ADD, COLOURS)

    assert not Brand.objects.exists()


# The page


@pytest.fixture
def branded(settings_page, freezer, monkeypatch, settings):
    """A page in two languages that was written without a brand and then got one."""
    settings.PAGE_LANGUAGES = ["en", "de"]
    monkeypatch.setattr(editions, "_built", set())
    publish("investigating", (component("Agent API"), "major_outage"))
    call_command("publish")
    pictures = {"logo": file(LOGO), "logo_dark": file(LOGO.replace(b"#1b4f7d", b"#fff")), "icon": file(png(), "i.png")}
    settings_page.post(ADD, COLOURS | pictures)
    settle()
    return settings_page


def body(path: str) -> str:
    return bytes(Document.objects.get(path=path).body).decode()


def style() -> str:
    return next(
        one for one in Document.objects.values_list("path", flat=True) if one.endswith(".css") and "brand" in one
    )


def test_every_page_shows_the_brand(branded, settings):
    assert html().count() >= 5 * len(settings.PAGE_LANGUAGES)
    for page in html():
        text = bytes(page.body).decode()
        assert text.index("status") < text.index(f'<link rel="stylesheet" href="{style()}">'), page.path
        if "widget" not in page.path:
            assert re.search(
                r'<img class="brand" src="/brand/logo-\w{16}\.svg" alt="[^"]+" width="120" height="40">', text
            )
            assert re.search(r'<source srcset="/brand/logo-dark-\w{16}\.svg" media="screen and \(prefers-color', text)
            assert re.search(r'<link rel="icon" href="/brand/icon-\w{16}\.png">', text)
        assert " style=" not in text
        assert "<style" not in text


def test_a_stylesheet_of_its_own_has_the_colours_of_both_schemes(branded):
    light, dark, logo = body(style()).splitlines()

    assert "print, (prefers-color-scheme: light)" in light
    assert all(colour in light for colour in ("--link: #0b5394", "#cc4400"))
    assert "//" not in light
    assert "screen and (prefers-color-scheme: dark)" in dark
    assert all(colour in dark for colour in ("--link: #9fc5e8", "#ff8844"))
    assert logo == looks.LOGO


def test_the_files_are_kept_for_ever_and_can_do_nothing(branded):
    files = Document.objects.filter(path__startswith="/brand/")
    assert {one.path.rpartition(".")[2] for one in files} == {"css", "svg", "png"}
    for one in files:
        answer = branded.get(one.path)
        assert answer.content == bytes(one.body)
        for name, value in {
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
            "Cache-Control": documents.FOR_EVER,
        }.items():
            assert f"{name}: {value}\r\n" in one.head
            assert answer[name] == value
        assert answer["Content-Type"].partition(";")[0] in ("text/css", "image/svg+xml", "image/png")


def test_the_name_stands_beside_the_logo_once_for_those_who_listen(branded, settings):
    branded.post(CHANGE, COLOURS | {"name_beside_logo": "on"})
    settle()
    head = re.search(r'<a class="name".*?</a>', body("/"))[0]

    assert 'alt=""' in head
    assert f"</picture> <bdi>{settings.ORGANISATION}</bdi> <span>" in head


def test_what_is_old_is_served_until_no_page_names_it_and_then_is_gone(branded, monkeypatch):
    old = style()
    branded.post(CHANGE, COLOURS | {"mark_light": "#000000"})
    monkeypatch.setattr(editions, "BATCH", 0)  # so that every step is seen
    while editions.refresh():
        named = {style_of(bytes(one).decode()) for one in html().values_list("body", flat=True)}
        assert Document.objects.filter(path__in=named).count() == len(named)

    assert len(named) == 1
    assert not Document.objects.filter(path=old).exists()
    assert branded.get(old).status_code == 404


def html():
    return Document.objects.filter(head__contains="text/html", status__in=(200, 404))


def style_of(page: str) -> str:
    return re.search(r'href="(/brand/style-\w+\.css)"', page)[1]


def test_without_a_brand_every_document_is_as_it_was(branded):
    branded.post("/admin/statuspage/brand/1/delete/", {"post": "yes"})
    settle()
    assert not Document.objects.filter(path__startswith="/brand/").exists()
    assert "brand" not in body("/")


def test_only_what_has_a_look_is_written_anew(branded):
    before = dict(Document.objects.filter(head__contains="json").values_list("path", "version"))
    branded.post(CHANGE, COLOURS | {"mark_light": "#000000"})
    settle()

    assert dict(Document.objects.filter(path__in=before).values_list("path", "version")) == before


def test_the_files_are_written_where_the_site_is_plain_files(branded, tmp_path):
    call_command("publish", to=tmp_path)

    for one in Document.objects.filter(path__startswith="/brand/"):
        assert (tmp_path / one.path[1:]).read_bytes() == bytes(one.body)
    assert 'class="brand"' in (tmp_path / "index.html").read_text()


def test_the_page_hardly_grows_by_a_brand(branded):
    weight = 0
    for one in Document.objects.filter(path__startswith="/brand/").exclude(path__contains="dark"):
        weight += len(brotli.compress(bytes(one.body), quality=6))

    assert weight < 1000


def test_a_restricted_page_has_its_look_too(branded, settings):
    settings.PAGE_RESTRICTED = True
    assert branded.get(style()).status_code == 200
    assert 'class="brand"' in branded.get("/").content.decode()


def test_a_form_that_is_written_when_asked_for_shows_the_brand(branded):
    assert 'class="brand"' in branded.get("/subscribe").content.decode()
