"""What the AI was: shown where an AI plays a part, kept revision by revision, never overwritten by a second person."""

from decimal import Decimal

import pytest

from incidents.evidence import actions, queries
from incidents.evidence.models import AiContext
from irportal.ledger.models import Entry
from irportal.refused import Refused
from tests.pages import fields

pytestmark = pytest.mark.django_db
AI = "/portal/incidents/INC-1/ai"
SAID = {
    "model_before": "atlas-4 2026-02-01",
    "model_after": "atlas-4 2026-03-01",
    "provider": "Atlas",
    "route": "eu-1, fallback eu-2",
    "prompt_version": "refund-12",
    "policy_version": "2026.3",
    "rulepack_version": "pii-7",
    "tool_boundary": "boundary.yaml 14",
    "tools_in_scope": "lookup_order",
    "tools_out_of_scope": "issue_refund",
    "tenants": "Northwind",
    "use_cases": "Refunds",
    "endpoints": "/v1/chat",
    "cost_before": "12.5",
    "cost_after": "80",
    "cost_unit": "USD an hour",
    "latency_before": "410",
    "latency_after": "2300",
    "latency_unit": "ms, P95",
    "success_before": "99.3",
    "success_after": "61",
    "success_unit": "% of requests",
}
DECISION = {"verdict": "block", "what": "Second refund", "rule": "pay-2", "rationale": "Twice in a minute"}


@pytest.fixture
def lees(client, incident, lee):
    client.force_login(lee)
    return client


def page(client) -> dict[str, str]:
    found = fields(client.get(AI).content.decode())
    found.pop("csrfmiddlewaretoken", None)
    return found


def decided(number: int = 0, **given) -> dict[str, str]:
    return {f"decision-{number}-{name}": value for name, value in (DECISION | given).items()}


def save(client, **given):
    return client.post(AI, page(client) | given)


def test_everything_is_kept_and_shown_again(lees, incident, lee):
    # covers R002-08, R002-06
    assert save(lees, **SAID, **decided(at="14:20")).status_code == 302
    kept = AiContext.objects.get()
    assert (kept.revision, kept.saved_by) == (1, lee)
    assert (kept.cost_after, kept.success_before) == (Decimal(80), Decimal("99.3"))
    assert str(kept.decisions.get()) == "Blocked: Second refund"
    shown = page(lees)
    assert {name: shown[name] for name in SAID if "_before" not in name and "_after" not in name} == {
        name: value for name, value in SAID.items() if "_before" not in name and "_after" not in name
    }
    assert shown["decision-0-rationale"] == "Twice in a minute"
    assert shown["decision-0-at"] == "2026-03-02 14:20"
    assert incident.timeline.last().text.startswith("AI context written down: model and version before, ")


def test_what_is_said_closes_the_gaps_of_the_minimum(lees, incident):
    # covers R002-08
    save(lees, **SAID, **decided())
    lines = queries.minimum_of(incident)
    found = {line.code: line.found for line in [*lines["set"], *lines["captures"]]}
    assert [found[code] for code in ("scope", "rules", "decisions", "deltas", "routing", "versions")] == [
        "AI context"
    ] * 6


def test_each_save_is_another_revision_and_the_page_says_who_changed_what(lees, client, grace):
    save(lees, **SAID)
    client.force_login(grace)
    save(client, provider="Borealis", **decided())
    assert list(AiContext.objects.values_list("revision", "provider")) == [(2, "Borealis"), (1, "Atlas")]
    html = client.get(AI).content.decode()
    assert "<b>2</b> by Grace" in html
    assert "Changed: provider, decisions" in html
    assert "<b>1</b> by Lee" in html
    assert Entry.objects.filter(deed="ai_context.saved").count() == 2


def test_saving_nothing_new_leaves_no_trace(lees):
    save(lees, **SAID, **decided())
    before = Entry.objects.count()
    answer = lees.post(AI, page(lees), follow=True)
    assert "Nothing differs from what is kept." in answer.content.decode()
    assert (AiContext.objects.count(), Entry.objects.count()) == (1, before)


def test_a_decision_is_taken_out_in_the_next_revision_and_stays_in_the_last(lees):
    save(lees, **decided())
    save(lees, **{"decision-0-DELETE": "on"}, no_decisions="It was a false alarm")
    assert [said.decisions.count() for said in AiContext.objects.all()] == [0, 1]


def test_the_second_sees_what_the_first_saved_and_loses_nothing(lees, client, incident, grace, freezer):
    mine = page(lees) | {"provider": "Borealis", "route": "us-1"} | decided()
    client.force_login(grace)
    save(client, provider="Atlas", tenants="Northwind")
    answer = client.post(AI, mine)
    html = answer.content.decode()
    assert answer.status_code == 409
    assert "Meanwhile Grace saved at 14:30:00 UTC and changed provider, affected tenants." in html
    kept = fields(html)
    assert (kept["provider"], kept["route"], kept["decision-0-what"]) == ("Borealis", "us-1", "Second refund")
    assert "What is kept now, where it differs from yours" in html
    kept.pop("csrfmiddlewaretoken", None)
    assert client.post(AI, kept).status_code == 302
    assert AiContext.objects.first().provider == "Borealis"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"cost_before": "much"}, "Write a number such as 412 or 99.3."),
        ({"cost_before": "NaN"}, "Write a number such as 412 or 99.3."),
        ({"latency_after": "1" * 30}, "no more than 18 digits"),
        ({"provider": "x" * 201}, "at most 200 characters"),
        ({"provider": "a\0b"}, "Null characters are not allowed."),
        ({"tools_in_scope": "x" * 5001}, "at most 5000 characters"),
        ({"seen": ""}, "Load the page again; it does not say what you had seen."),
        ({"seen": "x"}, "Enter a whole number."),
        ({"seen": str(10**30)}, "less than or equal"),
        (decided(what=""), "Say what was decided on."),
        (decided(rationale=""), "a decision without its reason proves nothing"),
        (decided(verdict="perhaps"), "perhaps is not one of the available choices"),
        (decided(at="soon"), "That is not a time."),
        (decided(rationale="x" * 2001), "at most 2000 characters"),
        ({"decision-TOTAL_FORMS": "x"}, "ManagementForm data is missing"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_is_refused_beside_its_field_and_every_word_is_kept(lees, given, sentence):
    sent = page(lees) | {"route": "eu-1"} | given
    answer = lees.post(AI, sent)
    html = answer.content.decode()
    assert answer.status_code == 400
    assert sentence in html
    assert fields(html)["route"] == "eu-1"
    assert not AiContext.objects.exists()


def test_thousands_of_decisions_are_refused(lees):
    sent = page(lees) | {"decision-TOTAL_FORMS": "100000"}
    assert lees.post(AI, sent | decided()).status_code in (302, 400)
    assert AiContext.objects.filter(decisions__position__gt=100).count() == 0


@pytest.mark.parametrize(
    ("kind", "involved", "shown"),
    [("T09", "unknown", True), ("T01", "yes", True), ("T01", "unknown", False), ("T07", "no", False)],
)
def test_it_is_asked_where_an_ai_plays_a_part_and_nowhere_else(client, declare, lee, kind, involved, shown):
    incident = declare(type=kind, ai_involved=involved)
    client.force_login(lee)
    html = client.get(AI).content.decode()
    assert ('name="model_before"' in html) == shown
    assert ("No AI is said to play a part" in html) != shown
    assert (AI in client.get("/portal/incidents/INC-1/evidence/").content.decode()) == shown
    if not shown:
        with pytest.raises(Refused, match="Say so under Impact first"):
            actions.save_context(incident, {}, [], by=lee, seen=0)


def test_who_may_only_look_reads_it_and_cannot_save(lees, client, ada):
    save(lees, **SAID, **decided())
    client.force_login(ada)
    html = client.get(AI).content.decode()
    assert "issue_refund" in html
    assert "12.5" in html
    assert "Twice in a minute" in html
    assert "<textarea" not in html
    assert client.post(AI, {"seen": "1"}).status_code == 403


def test_it_asks_no_more_with_more_revisions(lees, incident, lee, django_assert_max_num_queries):
    for number in range(25):
        save(lees, provider=f"Provider {number}", **decided(what=f"Refund {number}"))
    with django_assert_max_num_queries(12):
        html = lees.get(AI).content.decode()
    assert html.count('<p class="quiet">Changed:') == 20
