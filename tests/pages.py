"""A page as a person sees it: what stands in its fields, and what it says."""

from collections import defaultdict
from html.parser import HTMLParser


class _Fields(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, list[str]] = defaultdict(list)
        self.choice = self.text = ""

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        name, value = given.get("name") or "", given.get("value") or ""
        if tag == "select":
            self.choice = name
        elif tag == "textarea":
            self.text = name
            self.found[name].append("")
        elif tag == "option" and "selected" in given:
            self.found[self.choice].append(value)
        elif tag == "input" and (given.get("type") not in ("radio", "checkbox") or "checked" in given):
            self.found[name].append(value)

    def handle_data(self, data):
        if self.text:
            self.found[self.text][-1] += data

    def handle_endtag(self, tag):
        if tag == "textarea":
            self.text = ""


def fields(html: str) -> dict[str, str]:
    """What a browser would send if the person pressed the page's button now."""
    parser = _Fields()
    parser.feed(html)
    return {name: values[-1].removeprefix("\n") for name, values in parser.found.items() if name}
