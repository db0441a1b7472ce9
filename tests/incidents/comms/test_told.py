"""Who was told of a start is told of everything up to the end, whatever changes meanwhile, unless they left."""

from datetime import timedelta

import pytest
from django.utils import timezone

from incidents import workflow
from incidents.comms.audiences import readers_of
from irportal.outbox import audiences, fan_out
from irportal.outbox.models import Announcement
from statuspage.models import Component, Notice, Subscriber
from statuspage.subscriptions import choose, leave, token_for
from tests.statuspage.factories import subscriber

pytestmark = pytest.mark.django_db
OK = Component.State.OPERATIONAL
START = {"api@r.example", "all@r.example", "ops@bank.example"}


def turn() -> None:
    fan_out.fan_out_pending(timezone.now())


def told() -> list[set[str]]:
    """Who each update to customers went to, oldest first."""
    rows = Announcement.objects.filter(audience="customers").order_by("pk")
    return [set(row.deliveries.exclude(state="suppressed").values_list("address", flat=True)) for row in rows]


def reader(email: str) -> Subscriber:
    return Subscriber.objects.get(email=email)


@pytest.fixture
def say(update, freezer):
    """An update to customers that has reached the outbox; a minute passes."""

    def make(incident, **given):
        incident = update(incident, **{"customer_text": "News.", "reason": "Seen", **given})
        turn()
        freezer.shift(timedelta(minutes=1))
        return incident

    return make


@pytest.fixture
def judge(grace):
    """Say anew how bad it is, or in which state the API is."""

    def make(incident, rank=None, api=None):
        if rank:
            return workflow.change_severity(incident, rank=rank, reason="Looked again", by=grace)
        rows = [(row.component, api) for row in incident.components.all()]
        said = {"impact": "Less.", "personal_data": "no", "ai_involved": "no", "estimate": ""}
        return workflow.change_impact(incident, components=rows, by=grace, **said)

    return make


def test_who_wants_only_the_worst_hears_of_the_end_when_the_impact_has_dropped(declare, say, judge):
    subscriber("worst@r.example", floor="critical")
    subscriber("bad@r.example", floor="major")
    incident = say(declare(rank=2))
    judge(incident, rank=1)
    say(incident)
    judge(incident, rank=3)
    say(incident)
    say(incident, status="resolved")

    heard = told()
    assert ["worst@r.example" in addresses for addresses in heard] == [False, True, True, True]
    assert ["bad@r.example" in addresses for addresses in heard] == [True] * 4


def test_who_heard_of_a_component_hears_of_the_end_when_it_works_again(declare, say, judge):
    incident = say(declare(rank=2, type="T05"))
    assert told() == [START]
    judge(incident, api=OK)
    say(incident, status="resolved")
    assert told()[-1] == START


def test_who_chose_something_else_meanwhile_hears_of_the_end_all_the_same(declare, say, organisation):
    incident = say(declare(rank=2, type="T05"))
    choose(reader("api@r.example"), components=[organisation["dashboard"]], floor="critical")
    say(incident, status="resolved")
    assert "api@r.example" in told()[-1]
    assert "dash@r.example" not in told()[-1]


def test_who_leaves_hears_nothing_more_though_they_were_told(declare, say):
    incident = say(declare(rank=2))
    leave(token_for(reader("api@r.example")))
    say(incident, status="resolved")
    assert told()[-1] == told()[0] - {"api@r.example"}


def test_who_was_told_of_one_incident_is_not_told_of_another(declare, say):
    say(declare(rank=2, type="T05"))
    choose(reader("api@r.example"), floor="critical", components=[])
    say(declare(rank=2, type="T05"))
    assert "api@r.example" not in told()[-1]


def test_who_comes_late_hears_of_everything_from_then_on(declare, say, judge, organisation):
    incident = say(declare(rank=2, type="T05"))
    subscriber("late@r.example", organisation["api"])
    say(incident)
    judge(incident, api=OK)
    say(incident, status="resolved")
    assert ["late@r.example" in addresses for addresses in told()] == [False, True, True]


def test_who_follows_the_incident_hears_it_to_its_end_whatever_it_hits(declare, say):
    incident = declare(rank=3)
    say(incident)
    follower = subscriber("one@r.example", is_standing=False)
    follower.followed.set([Notice.objects.get(ref=incident.ref)])
    say(incident, status="resolved")
    assert ["one@r.example" in addresses for addresses in told()] == [False, True]


def test_an_update_that_is_fanned_out_late_is_counted_too(declare, say, update, judge, organisation):
    """The first could not be fanned out and comes after the second: the third still reaches whoever only it reached."""
    incident = declare(rank=1)
    update(incident, customer_text="First.")
    judge(incident, rank=3)
    stuck = Announcement.objects.get(audience="customers")
    Announcement.objects.filter(pk=stuck.pk).update(fanned_out_at=timezone.now())
    subscriber("worst@r.example", floor="critical")
    say(incident)
    Announcement.objects.filter(pk=stuck.pk).update(fanned_out_at=None)
    turn()
    say(incident, status="resolved")
    assert ["worst@r.example" in addresses for addresses in told()] == [True, False, True]


def test_two_hands_that_fan_out_at_once_do_not_overtake_each_other(declare, say, freezer):
    """The instants grow though the clock stands still: they say which readers were the last."""
    incident = declare(rank=2)
    for _ in range(3):
        say(incident)
        freezer.shift(timedelta(minutes=-1))
    instants = Announcement.objects.filter(audience="customers").order_by("pk").values_list("fanned_out_at", flat=True)
    assert list(instants) == sorted(set(instants))


def test_the_number_of_readers_shown_before_sending_counts_whoever_was_told(declare, say, judge):
    incident = say(declare(rank=2, type="T05"))
    judge(incident, api=OK)
    incident.refresh_from_db()
    assert audiences.reach("customers", readers_of(incident)) == len(START)


def test_finding_who_was_told_is_one_statement_for_thirty_as_for_one(declare, say, django_assert_num_queries):
    for n in range(30):
        subscriber(f"reader{n}@r.example")
    incident = say(declare(rank=2))
    _, (many,) = audiences.resolve("customers", readers_of(incident))
    with django_assert_num_queries(1):
        assert len(many) > 30
