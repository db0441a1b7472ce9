"""The list of incidents: open ones worst first, resolved ones a page at a time, found by number or title."""

import pytest
from django.db.models import F

from incidents.lifecycle.models import Incident

pytestmark = pytest.mark.django_db


@pytest.fixture
def read(client, ada):
    client.force_login(ada)
    return lambda query="": client.get(f"/portal/{query}").content.decode()


def test_the_worst_open_incident_stands_first_and_the_newest_of_equals(read, declare):
    for title, rank in (("Slow", 3), ("Down", 1), ("Down again", 1)):
        declare(title=title, rank=rank)
    html = read()
    assert html.index("Down again") < html.index("Down</a>") < html.index("Slow")


def test_resolved_incidents_come_thirty_a_page(read, declare):
    for number in range(31):
        declare(title=f"Outage number {number} of many")
    Incident.objects.update(status="resolved", resolved_at=F("declared_at"))
    assert "Page 1 of 2" in read()
    assert "Outage number 0 of many" not in read()
    assert "Outage number 0 of many" in read("?page=2")
    assert "Outage number 0 of many" in read("?page=77")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?q=INC-2", {"Dashboard slow"}),
        ("?q=inc-2", {"Dashboard slow"}),
        ("?q=2", {"Dashboard slow"}),
        ("?q=dash", {"Dashboard slow"}),
        ("?q=%25", set()),
        ("?q=nothing", set()),
        ("?q=%00", {"Agent API unavailable", "Dashboard slow"}),
        ("?q=", {"Agent API unavailable", "Dashboard slow"}),
        ("?page=x&q=agent", {"Agent API unavailable"}),
    ],
)
def test_an_incident_is_found_by_its_number_or_words_of_its_title(read, declare, query, found):
    titles = {"Agent API unavailable", "Dashboard slow"}
    for title in sorted(titles):
        declare(title=title)
    html = read(query)
    assert {title for title in titles if title in html} == found
