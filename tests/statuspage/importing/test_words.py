from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irportal.prose import render
from irportal.refused import Refused
from statuspage.importing import words

BERLIN = ZoneInfo("Europe/Berlin")
NINE = datetime(2026, 3, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("2026-03-01T09:00:00Z", NINE),
        ("2026-03-01T09:00:00.000Z", NINE),
        ("2026-03-01T01:00:00.000-08:00", NINE),
        ("2026-03-01 10:00:00", NINE),
        (datetime(2026, 3, 1, 10), NINE),
        (date(2026, 3, 1), datetime(2026, 2, 28, 23, tzinfo=UTC)),
        (1772355600, NINE),
        ("2026-10-25 02:30:00", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # twice that night: the first
        (None, None),
        ("", None),
    ],
)
def test_an_instant_is_in_utc(value, at):
    assert words.instant(value, BERLIN) == at


@pytest.mark.parametrize("value", ["soon", "0000-00-00 00:00:00", "1999-12-31", "9999-12-31T23:59:59Z", True, [], 1e30])
def test_what_is_no_instant_is_refused(value):
    with pytest.raises(Refused):
        words.instant(value, BERLIN)


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("Plain *Markdown* stays: a < b && c > d", "Plain *Markdown* stays: a < b && c > d"),
        ("<p>One.</p><p>Two<br>three.</p>", "One.\n\nTwo\nthree."),
        ("<b>bold</b> and <em>soft</em>, <code>x</code>", "**bold** and *soft*, `x`"),
        ('See <a href="https://example.org/a">this</a>.', "See [this](https://example.org/a)."),
        ('See <a href="javascript:alert(1)">this</a>.', "See this."),
        ("<ul><li>one</li><li>two</li></ul>", "- one\n- two"),
        ("<p>x</p><script>alert(1)</script><style>p{}</style>", "x"),
        ("Fish &amp; chips &lt;b&gt;", "Fish & chips <b>"),
        ("Before<!-- staff only -->after", "Beforeafter"),
        ("Never ends <!-- staff only", "Never ends"),
        ("<b>Look</b> at <https://example.org>", "**Look** at https://example.org"),
        ("one\r\ntwo", "one\ntwo"),
        (None, ""),
        (17, "17"),
    ],
)
def test_html_becomes_markdown(html, markdown):
    assert words.prose(html) == markdown


def test_a_title_is_one_line_and_may_be_cut():
    assert words.line(" Mail\n<b>is</b>\tlate ") == "Mail **is** late"
    assert words.line("x" * 100, 80) == "x" * 79 + "…"


@given(st.text(st.sampled_from("<>/abpi !-&;#lt\"'=\n*[]()") | st.characters(exclude_categories=["Cs"])))
def test_whatever_was_written_is_safe_when_it_is_shown(text):
    shown = render(words.prose(f"<p>{text}</p>"))

    assert "<script" not in shown
    assert "<!--" not in shown
