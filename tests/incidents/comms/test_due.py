"""The Due screen: what is owed soon, by whom, what stands in its way, one click from doing it."""

import itertools
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from incidents.comms import actions, approvals, holding
from incidents.comms.models import CommsDuty
from incidents.lifecycle import actions as lifecycle
from incidents.lifecycle.models import Incident, Role
from tests import people

pytestmark = pytest.mark.django_db
PAGE = "/portal/due"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def screen(client, organisation, lin):
    """What Lin, the comms lead, sees; `of` reads as somebody else."""

    def read(of=lin, **query):
        client.force_login(of)
        return client.get(PAGE, query)

    return read


def text(answer) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def rows(answer) -> list[tuple[str, str]]:
    return [(duty.incident.ref, duty.message_class) for duty in answer.context["duties"]]


def before_due(incident, freezer, minutes: int) -> CommsDuty:
    """Move to so many minutes before the incident's next customer promise."""
    duty = incident.duties.open().get(message_class="status_update")
    freezer.move_to(duty.due_at - minutes * MINUTE)
    return duty


def test_nothing_due_says_so(screen):
    assert "Nothing is due by" in text(screen())


def test_a_promise_shows_fifteen_minutes_before_it_is_due_and_not_sooner(declare, screen, freezer):
    duty = before_due(declare(), freezer, 15)
    assert duty in screen().context["duties"]

    freezer.shift(-timedelta(seconds=1))
    answer = screen()
    assert duty not in answer.context["duties"]
    assert duty in answer.context["later"]


def test_promises_of_all_incidents_stand_in_the_order_they_fall_due(declare, screen, freezer):
    declare()
    freezer.shift(MINUTE)
    second = declare(title="Something else")
    before_due(second, freezer, 0)
    dues = [duty.due_at for duty in screen().context["duties"]]

    assert dues == sorted(dues)
    assert {ref for ref, _ in rows(screen())} == {"INC-1", "INC-2"}


def test_what_is_overdue_stays_and_says_by_how_much(declare, screen, freezer):
    before_due(declare(), freezer, -7)
    assert "7 min late" in text(screen())
    assert screen().context["late"] > 0


def test_what_the_engine_held_is_gone_from_the_screen_and_counted(declare, screen, freezer):
    duty = before_due(declare(), freezer, 0)
    holding.run_due(timezone.now())
    answer = screen()

    assert duty not in answer.context["duties"]
    assert ("holding", "Holding message", 0) not in answer.context["became"]


def test_a_draft_that_waits_blocks_its_promise_and_is_one_click_away(declare, screen, freezer, lee):
    incident = declare()
    before_due(incident, freezer, 5)
    draft = actions.write(incident, audience="customers", text="We are looking.", by=lee)
    answer = screen()

    assert f"by {lee} waits for approval by Lin, comms lead." in text(answer)
    assert f'href="/portal/incidents/INC-1#message-{draft.pk}"' in answer.content.decode()


def test_an_approval_that_is_there_is_no_longer_asked_for(declare, screen, freezer, lee, lin):
    incident = declare()
    before_due(incident, freezer, 5)
    approvals.approve(actions.write(incident, audience="customers", text="We are looking.", by=lee), by=lin)
    shown = text(screen())
    assert f"by {lee} waits to be sent." in shown
    assert "waits for approval" not in shown


def test_a_draft_nobody_but_its_author_could_approve_asks_for_anybody_who_may(declare, screen, freezer, lin):
    incident = declare()
    before_due(incident, freezer, 5)
    actions.write(incident, audience="customers", text="We are looking.", by=lin)
    assert f"by {lin} waits for approval by somebody else who may publish, for the comms lead." in text(screen())


def test_a_draft_for_internal_readers_blocks_no_promise_to_customers(declare, screen, freezer, lee):
    incident = declare()
    duty = before_due(incident, freezer, 5)
    actions.write(incident, audience="internal", text="Restarting.", by=lee)
    shown = next(row for row in screen().context["duties"] if row == duty)
    assert shown.draft is None


def test_a_missing_fact_blocks_the_regulators_decision(declare, screen, freezer):
    incident = declare()
    duty = incident.duties.open().filter(message_class="regulator_decision").first()
    if duty is None:
        duty = incident.duties.open().first()
        CommsDuty.objects.filter(pk=duty.pk).update(message_class="regulator_decision", audience="regulators")
    type(incident).objects.update(personal_data="unknown")
    freezer.move_to(duty.due_at - MINUTE)
    assert "One fact is missing: was personal data shown?" in text(screen())


def test_a_role_nobody_holds_is_what_blocks(declare, screen, freezer):
    incident = declare()
    incident.roles.filter(role=Role.COMMS_LEAD).update(ended_at=timezone.now())
    before_due(incident, freezer, 5)
    assert "Nobody holds the role of comms lead." in text(screen())


def test_only_mine_leaves_what_i_own(declare, screen, freezer, lin, grace):
    incident = declare()
    if not incident.roles.filter(role=Role.COMMS_LEAD, person=lin, ended_at=None).exists():
        lifecycle.assign(incident, role=Role.COMMS_LEAD, person=lin, by=grace)
    before_due(incident, freezer, 1)
    everybodys, mine = screen(), screen(mine="1")

    assert {duty.audience for duty in mine.context["duties"]} <= {"customers", "public"}
    assert 0 < len(rows(mine)) < len(rows(everybodys))
    assert "You" in text(mine)


def test_a_viewer_sees_all_of_it_and_no_button(declare, screen, freezer, ada):
    before_due(declare(), freezer, 1)
    shown = text(screen(of=ada))
    assert "Customer update" in shown
    assert [word for word in ("Write it", "Record it", "Read and approve") if word in shown] == []


def test_its_part_alone_answers_the_refresh(declare, client, freezer, lin):
    before_due(declare(), freezer, 1)
    client.force_login(lin)
    part = client.get(PAGE, {"mine": "1"}, headers={"HX-Request": "true"}).content.decode().strip()
    assert part.startswith('<div id="live" hx-get="/portal/due?mine=1"')


def test_marks_of_one_minute_are_one_and_labels_do_not_run_into_each_other(declare, screen, freezer):
    before_due(declare(), freezer, 1)
    marks = screen().context["ruler"]["marks"]
    labelled = [mark["x"] for mark in marks if mark["label"]]

    assert len({mark["at"] for mark in marks}) == len(marks)
    assert all(b - a >= 8 for a, b in itertools.pairwise(labelled))
    assert all(0 <= mark["x"] <= 100 for mark in marks)


def test_script_in_a_title_is_text_here_too(declare, screen, freezer):
    before_due(declare(title="<script>alert(1)</script>"), freezer, 1)
    assert "<script>alert" not in screen().content.decode()


def test_ten_incidents_ask_no_more_questions_than_one(declare, screen, freezer, lee):
    def asked() -> int:
        for incident in Incident.objects.filter(messages=None):
            actions.write(incident, audience="customers", text="We are looking.", by=lee)
        screen()
        with CaptureQueriesContext(connection) as queries:
            screen()
        return len(queries)

    before_due(declare(), freezer, 1)
    one = asked()
    for number in range(9):
        declare(title=f"Outage {number}")
    freezer.shift(timedelta(hours=1))
    assert asked() <= one


def test_somebody_without_a_role_is_refused(client, organisation):
    client.force_login(people.User.objects.create(email="nobody@example.com"))
    assert client.get(PAGE).status_code == 403
