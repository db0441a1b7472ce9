"""What leaves beyond updates and notices: public statements, the board's word, and page texts against the matrix."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from incidents import workflow
from incidents.comms import actions, duties, reminders
from incidents.comms.models import Message
from incidents.lifecycle.models import Role, RoleContact
from irportal.outbox.models import Announcement
from irportal.refused import Refused
from statuspage.models import Notice
from tests import people
from tests.pages import fields

pytestmark = pytest.mark.django_db
INC = "/portal/incidents/INC-1"
HOUR = timedelta(hours=1)
BOARD, PRESS = "board_notice", "public_statement"


@pytest.fixture
def marek(roles):
    """Legal lead by the contact list."""
    person = people.person("Marek", "publisher")
    RoleContact.objects.create(role=Role.LEGAL_LEAD, person=person)
    return person


@pytest.fixture
def judge(lee):
    """Lee says whether it is material for the business; the rest stays."""

    def make(incident, material=True, **given) -> None:
        said = {"impact": "As before", "personal_data": "no", "ai_involved": "no", "estimate": ""} | given
        parts = [(row.component, row.state) for row in incident.components.all()]
        workflow.change_impact(incident, components=parts, material=material, **said, by=lee)

    return make


def owed(incident) -> set[str]:
    return set(incident.duties.open().values_list("message_class", flat=True))


# Material


def test_nothing_is_material_until_somebody_says_so(declare):
    assert owed(declare()) & {BOARD, PRESS} == set()


# covers R003-14, R003-21
def test_a_critical_one_that_is_material_owes_the_board_the_same_day_and_the_public_a_statement(
    declare, judge, freezer
):
    incident = declare()
    freezer.shift(HOUR)
    judge(incident)
    due = dict(incident.duties.open().values_list("message_class", "due_at"))
    assert due[BOARD] == datetime(2026, 3, 2, 23, 59, tzinfo=UTC)
    assert due[PRESS] == timezone.now() + 24 * HOUR
    assert "Judged material for the business." in incident.timeline.values_list("text", flat=True)


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_below_critical_material_owes_nothing(declare, judge, rank):
    incident = declare(rank=rank)
    judge(incident)
    assert owed(incident) & {BOARD, PRESS} == set()


def test_not_material_after_all_takes_both_back(declare, judge):
    incident = declare()
    judge(incident)
    judge(incident, material=False)
    assert owed(incident) & {BOARD, PRESS} == set()
    assert set(incident.duties.filter(message_class__in=[BOARD, PRESS]).values_list("outcome", flat=True)) == {"waived"}


def test_who_says_nothing_of_it_leaves_it_material(declare, judge):
    incident = declare()
    judge(incident)
    judge(incident, material=None)
    assert {BOARD, PRESS} <= owed(incident)


def test_the_board_is_told_by_hand_and_that_is_recorded(declare, judge, lin):
    incident = declare()
    judge(incident)
    duty = incident.duties.get(message_class=BOARD)
    assert duty.get_write_url() == ""
    duties.settle(duty, text="Edith phoned the secretary at 16:10", by=lin)
    assert incident.duties.get(message_class=BOARD).outcome == "kept"


def test_the_executive_sponsor_is_reminded_of_the_board(declare, judge, freezer):
    incident = declare()
    judge(incident)
    incident.duties.exclude(message_class=BOARD).delete()
    freezer.shift(8 * HOUR)
    reminders.run_due(timezone.now())
    assert Announcement.objects.get(topic="reminder").facts["roles"] == ["executive_sponsor"]


def test_the_form_asks_for_harm_and_for_material(declare, client, lee, freezer):
    incident = declare(ai_involved="yes")
    client.force_login(lee)
    page = fields(client.get(f"{INC}/impact").content.decode())
    assert (page["ai_harm"], "material" in page) == ("unknown", False)
    assert client.post(f"{INC}/impact", page | {"material": "on", "ai_harm": "no"}).status_code == 302
    incident.refresh_from_db()
    assert (incident.material, incident.ai_harm) == (True, "no")
    assert "material" in fields(client.get(f"{INC}/impact").content.decode())


# Harm by an AI


# covers C-14
@pytest.mark.parametrize(
    ("rank", "involved", "harm", "hours"),
    [
        (2, "yes", "unknown", 4),
        (2, "yes", "yes", 4),
        (2, "yes", "no", 24),
        (2, "unknown", "yes", 4),
        (3, "yes", "unknown", None),
        (3, "yes", "yes", 24),
        (3, "no", "no", None),
        (4, "yes", "yes", 24),
    ],
)
def test_harm_by_an_ai_decides_when_regulators_are_thought_of(declare, judge, freezer, rank, involved, harm, hours):
    incident = declare(rank=rank)
    judge(incident, ai_involved=involved, ai_harm=harm)
    duty = incident.duties.open().filter(message_class="regulator_decision").first()
    assert (duty and (duty.due_at - incident.declared_at) / HOUR) == hours


# Public statements


def test_a_statement_needs_the_legal_lead_and_leaves_nowhere_by_itself(declare, judge, lee, marek):
    incident = declare()
    judge(incident)
    statement = actions.write_statement(incident, text="Our service was down.", by=lee)
    before = Announcement.objects.exclude(topic="approval").count()
    sent = workflow.send_draft(statement, by=marek, content_hash=statement.content_hash)
    assert (sent.status, sent.announcement_key) == ("sent", "")
    assert Announcement.objects.exclude(topic="approval").count() == before
    assert not Notice.objects.exists()
    assert incident.duties.get(message_class=PRESS).outcome == "kept"
    assert "Agreed for press and social media: public statement. Our service was down." in (
        incident.timeline.values_list("text", flat=True)
    )


def test_the_comms_lead_cannot_approve_a_statement(declare, lee, lin, marek):
    statement = actions.write_statement(declare(), text="Our service was down.", by=lee)
    with pytest.raises(Refused, match=r"This needs the approval of Marek, legal lead\."):
        workflow.send_draft(statement, by=lin, content_hash=statement.content_hash)


def test_a_statement_meets_no_other_promise(declare, lee, marek):
    incident = declare()
    statement = actions.write_statement(incident, text="Our service was down.", by=lee)
    before = owed(incident)
    workflow.send_draft(statement, by=marek, content_hash=statement.content_hash)
    assert owed(incident) == before


@pytest.mark.parametrize(("rank", "answer"), [(1, 302), (2, 302), (3, 400), (4, 400)])
def test_a_statement_is_written_where_the_matrix_knows_it(declare, client, lee, rank, answer):
    declare(rank=rank)
    client.force_login(lee)
    sent = client.post(f"{INC}/statement", {"said": "Our service was down."})
    assert (sent.status_code, Message.objects.count()) == (answer, answer == 302)


def test_a_medium_one_is_stated_with_a_reason(declare, client, lee, lin):
    declare(rank=3)
    client.force_login(lee)
    client.post(f"{INC}/statement", {"said": "One route was slow.", "why": "A newspaper asked"})
    assert Message.objects.get().override_reason == "A newspaper asked"


def test_the_approved_statement_stands_on_the_incident_to_be_copied(declare, client, lee, marek):
    statement = actions.write_statement(declare(), text="Our service was down.", by=lee)
    client.force_login(marek)
    html = client.get(INC).content.decode()
    assert "Public statement waits for approval" in html
    assert "Approve and send" not in html
    client.post(f"{INC}/messages/{statement.pk}/approve", {"content_hash": statement.content_hash})
    html = client.get(INC).content.decode()
    assert "to be given out word for word" in html
    assert "<p>Our service was down.</p>" in html or "Our service was down.</div>" in html


def test_a_statement_is_rewritten_like_any_draft(declare, client, lee, marek):
    statement = actions.write_statement(declare(), text="Our service was down.", by=lee)
    client.force_login(lee)
    address = f"{INC}/messages/{statement.pk}/rewrite"
    assert fields(client.get(address).content.decode())["said"] == "Our service was down."
    assert client.post(address, {"said": "It was down for an hour."}).status_code == 302
    statement.refresh_from_db()
    assert statement.text == "It was down for an hour."


# The page against the matrix: rank 3 with a reason, rank 4 not at all


def test_a_medium_one_is_told_on_the_page_only_with_a_reason(declare, update):
    incident = declare(rank=3)
    with pytest.raises(Refused, match="SEV3 Medium stays off the status page; say why it is told all the same"):
        update(incident, customer_text="One route is slow.")
    assert not Notice.objects.exists()
    update(incident, customer_text="One route is slow.", reason="Many ask")
    assert Notice.objects.exists()
    assert "Told at SEV3 Medium: Many ask" in incident.timeline.order_by("pk").last().text


@pytest.mark.parametrize("reason", ["", "They ask"])
def test_a_low_one_is_told_to_nobody_outside(declare, update, reason):
    with pytest.raises(Refused, match=r"SEV4 Low is told to nobody outside. If they have to know, raise the severity"):
        update(declare(rank=4), customer_text="A typo.", reason=reason)


@pytest.mark.parametrize("rank", [3, 4])
def test_what_the_page_shows_may_always_go_on(declare, update, grace, rank):
    incident = declare(rank=1)
    update(incident, customer_text="We look.")
    workflow.change_severity(incident, rank=rank, reason="Less bad", by=grace)
    update(incident, customer_text="Nearly over.")
    update(incident, status="resolved", reason="Stable", customer_text="Over.")
    assert Notice.objects.get().updates.count() == 3


@pytest.mark.parametrize(("rank", "sentence"), [(3, "stays off the status page"), (4, "is told to nobody outside")])
def test_a_draft_of_a_worse_time_does_not_leave_once_it_is_less_bad(declare, update, grace, lee, lin, rank, sentence):
    incident = declare(rank=1)
    update(incident, customer_text="We look.", by=lee, send=False)
    workflow.change_severity(incident, rank=rank, reason="Less bad", by=grace)
    message = Message.objects.get()
    with pytest.raises(Refused, match=sentence):
        workflow.send_draft(message, by=lin, content_hash=message.content_hash)


@pytest.mark.parametrize(
    ("rank", "field", "sentence"),
    [
        (3, "reason", "SEV3 Medium stays off the status page; say why it is told all the same."),
        (4, "customer_text", "SEV4 Low is told to nobody outside. If they have to know, raise the severity first."),
    ],
)
def test_the_form_says_so_beside_the_field(declare, client, lee, rank, field, sentence):
    declare(rank=rank)
    client.force_login(lee)
    page = fields(client.get(f"{INC}/update").content.decode())
    html = client.post(f"{INC}/update/preview", page | {"customer_text": "A typo."}).content.decode()
    assert f'<p class="error" id="id_{field}_error">{sentence}</p>' in html


# Internal readers of a low one


# covers R003-24
def test_a_low_one_is_told_inside_to_the_owning_team_and_the_commander(declare, update, lee, root, ada):
    for role, person in ((Role.OWNING_TEAM, root), (Role.TECHNICAL_LEAD, ada)):
        RoleContact.objects.create(role=role, person=person)
    update(declare(rank=4), internal_text="A typo.")
    said = Announcement.objects.get(topic="update", audience="staff")
    assert said.facts["roles"] == ["owning_team", "incident_commander"]
