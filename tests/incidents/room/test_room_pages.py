"""The room of an incident as pages: what it asks of whom, and its long lists on pages of their own."""

from datetime import timedelta

import pytest
from django.utils import timezone

from incidents.comms.models import CommsDuty
from incidents.comms.queries import role_of
from incidents.lifecycle import actions
from incidents.room import asked
from tests import people

pytestmark = pytest.mark.django_db
ROOM = "/portal/incidents/INC-1"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def read(client):
    """The page as this person reads it."""

    def get(person, address: str = ROOM) -> str:
        client.force_login(person)
        return " ".join(client.get(address).content.decode().split())

    return get


def of(html: str) -> str:
    """What the first card asks."""
    return html.partition('aria-labelledby="h-asked"')[2].partition("</section>")[0]


def test_the_commander_is_asked_for_what_the_hour_asks(read, declare, grace, freezer):
    declare()
    assert "You are incident commander." in of(read(grace))
    assert "First containment" not in of(read(grace))
    freezer.shift(20 * MINUTE)
    assert "First containment: expected by 14:48 UTC." in of(read(grace))


def test_who_holds_no_role_is_asked_for_nothing(read, declare, ada, freezer):
    declare()
    freezer.shift(40 * MINUTE)
    assert "Nothing waits for you" in of(read(ada))
    assert "You hold no role here." in of(read(ada))


def test_a_commander_who_was_named_by_another_is_asked_to_say_that_they_work_on_it(read, declare, grace, lee):
    declare(by=lee)
    assert "Say that you work on it." in of(read(grace))
    assert "Say that you work on it." not in of(read(lee))


def test_who_owns_a_promise_is_asked_for_it_a_quarter_of_an_hour_before(read, declare, lin, freezer):
    declare()
    assert "Customer update" not in of(read(lin))
    freezer.shift(16 * MINUTE)
    assert "Customer update: is due by" in of(read(lin))
    freezer.shift(20 * MINUTE)
    assert "Customer update: was due at" in of(read(lin))


def test_who_can_approve_is_asked_for_it_and_the_author_is_not(read, declare, update, lee, lin):
    update(declare(), customer_text="We look into it.", by=lee, send=False)
    assert "Approve or send back the text of" in of(read(lin))
    assert "Approve or send back" not in of(read(lee))


# covers C-12
@pytest.mark.parametrize(
    ("audience", "role"),
    [
        ("internal", "incident_commander"),
        ("customers", "comms_lead"),
        ("public", "comms_lead"),
        ("regulators", "legal_lead"),
    ],
)
def test_each_audience_has_the_role_that_tells_it(audience, role):
    assert role_of(CommsDuty(audience=audience)) == role


def test_late_things_come_first():
    asks = [asked.Ask("due"), asked.Ask("late", late=True)]
    assert [ask.what for ask in sorted(asks, key=lambda ask: not ask.late)] == ["late", "due"]


def test_the_clock_runs_from_detection_and_stops_when_it_is_over(read, declare, update, grace, freezer):
    incident = declare()
    freezer.shift(63 * MINUTE)
    assert "Investigating</b>, 1 h 05 min after detection." in read(grace)
    update(incident, status="resolved", reason="False alarm")
    freezer.shift(600 * MINUTE)
    assert "Resolved</b> after 1 h 05 min." in read(grace)


@pytest.mark.parametrize("what", ["timeline", "promises", "messages"])
def test_what_the_room_shows_the_newest_of_is_whole_on_a_page_of_its_own(read, declare, update, grace, what, freezer):
    incident = declare()
    for number in range(14):
        freezer.shift(MINUTE)
        update(incident, internal_text=f"Inside {number}.")
    for number in range(100):
        actions.add_note(incident, text=f"Line {number}.", at=timezone.now(), by=grace)
    room = read(grace)
    assert f'href="{ROOM}/{what}"' in room
    assert "Line 99." in room
    assert "Line 55." not in room

    whole = read(grace, f"{ROOM}/{what}")
    first, last = {
        "timeline": ("Line 99.", "Line 55."),
        "promises": ("Internal", "Internal"),
        "messages": ("Internal",) * 2,
    }[what]
    assert first in whole
    assert last in whole


def test_a_long_record_turns_pages(read, declare, grace):
    incident = declare()
    for number in range(120):
        actions.add_note(incident, text=f"Line {number}.", at=timezone.now(), by=grace)
    assert "Page 1 of 3" in read(grace, f"{ROOM}/timeline")
    assert "Line 3." in read(grace, f"{ROOM}/timeline?page=3")
    assert "Line 3." in read(grace, f"{ROOM}/timeline?page=99")


def test_the_room_of_a_stranger_is_closed(client, declare):
    declare()
    assert client.get(f"{ROOM}/timeline").status_code == 302
    client.force_login(people.person("Nobody", "viewer"))
    assert client.get("/portal/incidents/INC-9/timeline").status_code == 404
