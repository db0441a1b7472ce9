"""Who may see and do what: every address of the portal, every role, and strangers."""

from datetime import timedelta

import pytest
from django.urls import get_resolver, reverse
from django.utils import timezone

from incidents import workflow
from incidents.evidence import actions as evidence
from incidents.evidence import store
from incidents.evidence.actions import Said
from incidents.lifecycle.models import Incident, TimelineEntry
from incidents.lifecycle.recovery import actions as recovery
from incidents.policy import actions as policy
from incidents.policy.models import PolicyProfile
from incidents.runbooks import actions as runbooks
from incidents.runbooks.models import RunbookRun
from irportal.ledger.models import Entry
from irportal.outbox.models import Announcement
from tests import people
from tests.incidents.runbooks.conftest import SMALL
from tests.statuspage.factories import announced

pytestmark = pytest.mark.django_db
EVERYBODY = {"viewer", "responder", "commander", "publisher", "admin"}
RESPONDERS = EVERYBODY - {"viewer"}
COMMANDERS, PUBLISHERS = {"commander", "admin"}, {"publisher", "admin"}
NOBODY: set[str] = set()

# address: who may read it, who may send it. NOBODY in a column means the address does not know that method.
MAY = {
    "home": (EVERYBODY, NOBODY),
    "due": (EVERYBODY, NOBODY),
    "declare": (RESPONDERS, RESPONDERS),
    "declare-suggestion": (RESPONDERS, NOBODY),
    "declare-outlook": (RESPONDERS, NOBODY),
    "incident": (EVERYBODY, NOBODY),
    "declared": (EVERYBODY, NOBODY),
    "incident-timeline": (EVERYBODY, NOBODY),
    "incident-promises": (EVERYBODY, NOBODY),
    "incident-messages": (EVERYBODY, NOBODY),
    "acknowledge": (NOBODY, RESPONDERS),
    "call-acknowledge": (NOBODY, EVERYBODY),  # whoever was called; all others are refused
    "hand-over": (EVERYBODY, EVERYBODY),  # one's own roles; a commander any
    "hand-over-take": (NOBODY, EVERYBODY),  # whoever takes it over; all others are refused
    "gate-reading": (RESPONDERS, RESPONDERS),
    "gate-tick": (RESPONDERS, RESPONDERS),
    "control": (RESPONDERS, RESPONDERS),
    "control-confirm": (RESPONDERS, RESPONDERS),
    "contacts": (EVERYBODY, NOBODY),
    "contacts-reviewed": (NOBODY, COMMANDERS),
    "contact": (COMMANDERS, COMMANDERS),
    "shifts": (EVERYBODY, NOBODY),
    "shift-new": (RESPONDERS, RESPONDERS),
    "shift": (EVERYBODY, NOBODY),
    "shift-take": (NOBODY, EVERYBODY),  # whoever takes over; all others are refused
    "shift-pdf": (EVERYBODY, NOBODY),
    "severity": (COMMANDERS, COMMANDERS),
    "roles": (COMMANDERS, COMMANDERS),
    "impact": (RESPONDERS, RESPONDERS),
    "note": (NOBODY, RESPONDERS),
    "correct": (RESPONDERS, RESPONDERS),
    "update": (RESPONDERS, NOBODY),
    "update-preview": (NOBODY, RESPONDERS),
    "update-send": (NOBODY, PUBLISHERS),
    "update-draft": (NOBODY, RESPONDERS),
    "message-approve": (NOBODY, EVERYBODY),  # the roles of the policy decide; whoever has none is refused
    "message-rewrite": (RESPONDERS, RESPONDERS),
    "message-without": (PUBLISHERS, PUBLISHERS),
    "notice": (RESPONDERS, RESPONDERS),
    "statement": (RESPONDERS, RESPONDERS),
    "public-postmortem": (RESPONDERS, RESPONDERS),
    "vendor": (PUBLISHERS, PUBLISHERS),
    "law-enter": (RESPONDERS, RESPONDERS),  # a date only makes things earlier
    "law-withdraw": (PUBLISHERS, PUBLISHERS),
    "message-send-back": (PUBLISHERS, PUBLISHERS),
    "duty-waive": (PUBLISHERS, PUBLISHERS),
    "duty-settle": (PUBLISHERS, PUBLISHERS),
    "postmortem": (EVERYBODY, RESPONDERS),
    "postmortem-submit": (NOBODY, RESPONDERS),
    "postmortem-send-back": (NOBODY, RESPONDERS),
    "postmortem-approve": (NOBODY, COMMANDERS | PUBLISHERS),
    "postmortem-pdf": (EVERYBODY, NOBODY),
    "postmortem-withdraw": (PUBLISHERS, PUBLISHERS),
    "evidence": (EVERYBODY, NOBODY),
    "evidence-add": (RESPONDERS, RESPONDERS),
    "evidence-item": (EVERYBODY, NOBODY),
    "evidence-read": (NOBODY, EVERYBODY),  # whoever may only look: what holds no personal data
    "evidence-correct": (RESPONDERS, RESPONDERS),
    "evidence-hold": (RESPONDERS - {"responder"}, RESPONDERS - {"responder"}),
    "evidence-item-hold": (RESPONDERS - {"responder"}, RESPONDERS - {"responder"}),
    "evidence-lift": (RESPONDERS - {"responder"}, RESPONDERS - {"responder"}),
    "evidence-verify": (NOBODY, RESPONDERS),
    "evidence-export": (NOBODY, RESPONDERS - {"responder"}),
    "ai-context": (EVERYBODY, RESPONDERS),
    "policy-profiles": (EVERYBODY, NOBODY),
    "policy-version": (EVERYBODY, NOBODY),
    "policy-export": (EVERYBODY, NOBODY),
    "policy-clone": (COMMANDERS, COMMANDERS),
    "policy-edit": (COMMANDERS, COMMANDERS),
    "policy-cell": (COMMANDERS, COMMANDERS),
    "policy-submit": (COMMANDERS, COMMANDERS),
    "policy-withdraw": (COMMANDERS, COMMANDERS),
    "policy-send-back": (COMMANDERS, COMMANDERS),
    "policy-approve": (COMMANDERS, COMMANDERS),  # and never who wrote at it
    "policy-default": (COMMANDERS, COMMANDERS),
    "policy-default-settle": (NOBODY, COMMANDERS),  # and never who proposed it
    "maintenances": (EVERYBODY, NOBODY),
    "maintenance": (EVERYBODY, NOBODY),
    "maintenance-plan": (PUBLISHERS, PUBLISHERS),
    "maintenance-change": (PUBLISHERS, PUBLISHERS),
    "maintenance-start": (PUBLISHERS, PUBLISHERS),
    "maintenance-tell": (PUBLISHERS, PUBLISHERS),
    "maintenance-correct": (PUBLISHERS, PUBLISHERS),
    "maintenance-extend": (PUBLISHERS, PUBLISHERS),
    "maintenance-finish": (PUBLISHERS, PUBLISHERS),
    "maintenance-cancel": (PUBLISHERS, PUBLISHERS),
    "runs": (EVERYBODY, NOBODY),
    "run-start": (NOBODY, RESPONDERS),
    "run": (EVERYBODY, NOBODY),
    "run-stop": (RESPONDERS, RESPONDERS),
    "run-step-done": (NOBODY, RESPONDERS),
    "run-step-skip": (NOBODY, RESPONDERS),
    "run-step-undo": (NOBODY, RESPONDERS),
    "run-step-note": (NOBODY, RESPONDERS),
    "runbooks": (EVERYBODY, NOBODY),
    "runbook": (EVERYBODY, NOBODY),
    "runbook-version": (EVERYBODY, NOBODY),
    "runbook-difference": (EVERYBODY, NOBODY),
    "runbook-commands": (EVERYBODY, NOBODY),
    "runbook-write": (COMMANDERS, COMMANDERS),
    "runbook-rewrite": (COMMANDERS, COMMANDERS),
    "runbook-preview": (NOBODY, COMMANDERS),
    "runbook-withdraw": (COMMANDERS, COMMANDERS),
}
ASKS_NOTHING = {"evidence-read": 200, "evidence-verify": 302, "evidence-export": 200}  # done without any field
DAY = timedelta(days=1)
SECRET = "Pool of tenant Northwind drained"


def policies(version, *, by):
    """The arguments of each address: a draft of the next version, another profile's that waits, a choice."""
    policy.clone(version, into="default-unified", by=by)
    waits = policy.submit(policy.clone(version, into="ours", by=by), change_note="Ours", by=by, seen=1)
    policy.load_literal()
    choice = policy.propose_default(PolicyProfile.objects.get(name="seed-001"), reason="Agreed", by=by)

    def args(name):
        if name == "policy-default-settle":
            return [choice.pk]
        if name in ("policy-profiles", "policy-default"):
            return []
        more = {"policy-edit": ["severities"], "policy-cell": [1, "customers"]}.get(name, [])
        return (
            ["ours", waits.number, *more]
            if name in ("policy-send-back", "policy-approve")
            else ["default-unified", 2, *more]
        )

    return args


@pytest.fixture
def addresses(declare, update, lee, grace, freezer, organisation) -> dict[str, str]:
    """The address of every page: INC-1 is open with a draft that waits, INC-2 is resolved with a post-mortem."""
    incident, over = declare(title=SECRET), declare(title=f"{SECRET} again")
    update(incident, customer_text=f"{SECRET}.", by=lee, send=False)
    update(over, status="resolved", reason="False alarm")
    entry = TimelineEntry.objects.filter(incident=incident).first()
    now = timezone.now()
    law = workflow.enter_law(
        incident, audience="customers", name="GDPR", runs_from=now, due_at=now + DAY, reason="Data", by=lee
    )
    subjects = {"message": incident.messages.get().pk, "duty-": incident.duties.first().pk, "correct": entry.pk}
    subjects["law-withdraw"] = law.pk
    log = Said(title="Guard log", source="guard-7", captured_at=now, personal=False)
    item = evidence.receive(incident, store.of_text("14:30 BLOCK"), log, by=lee)
    subjects |= dict.fromkeys(("evidence-item", "evidence-read", "evidence-correct"), item.number)
    subjects["evidence-lift"] = evidence.hold(incident, reason="Law", by=lee).pk
    passed = passed_on(incident, grace, lee)
    found = {}
    work = announced(organisation["api"])
    run = begun(incident, by=lee)
    drafts = policies(incident.policy_version, by=lee)
    for name in MAY:
        if name in passed:
            found[name] = reverse(f"portal:{name}", args=passed[name])
            continue
        if name.startswith("run"):
            found[name] = reverse(f"portal:{name}", args=runbook_arguments(name, run))
            continue
        if name.startswith("policy"):
            found[name] = reverse(f"portal:{name}", args=drafts(name))
            continue
        if name.startswith("maintenance"):
            args = [] if name in ("maintenances", "maintenance-plan") else [work.number]
            found[name] = reverse(f"portal:{name}", args=args)
            continue
        ref = over.ref if name.startswith("postmortem") else incident.ref
        pk = next((pk for subject, pk in subjects.items() if name.startswith(subject)), None)
        args = [] if name.startswith(("home", "declare-")) or name in ("declare", "due") else [ref]
        words = {"notice": ["incident_notice"], "evidence-add": ["text"]}
        args += [pk] if pk else words.get(name, [])
        found[name] = reverse(f"portal:{name}", args=args)
    return found


def begun(incident: Incident, *, by) -> RunbookRun:
    """A run of a runbook that has two versions, its first step ticked."""
    found = runbooks.write(SMALL, note="First", by=by).runbook
    runbooks.rewrite(found, SMALL.replace("Tell", "Call"), note="Second", by=by, seen=1)
    return runbooks.start(incident, found, by=by)


def runbook_arguments(name: str, run: RunbookRun) -> list[object]:
    if name in ("runs", "run-start"):
        return [run.incident.ref]
    if name in ("runbooks", "runbook-commands", "runbook-write", "runbook-preview"):
        return []
    if name.startswith("runbook"):
        return ["restart-api", *([1] if name == "runbook-version" else [])]
    return [run.incident.ref, run.pk, *([1] if "step" in name else [])]


def passed_on(incident, grace, lee) -> dict[str, list]:
    """The arguments of the addresses of roles, calls, controls, contacts and shifts."""
    term = incident.roles.get(role="incident_commander")
    [handover] = workflow.hand_over(incident, terms=[term.pk], to=lee, still_open="Nothing", by=grace)
    said = {"kind": "rollback", "target": "Model", "at": timezone.now(), "started_by": grace, "by": grace}
    run = recovery.start_control(incident, **said)
    sheet = workflow.hand_over_shift(to=lee, questions="None", by=grace)
    return {
        "call-acknowledge": [incident.ref, incident.calls.get(cause="handover", person=lee).pk],
        "hand-over-take": [incident.ref, handover.pk],
        "gate-tick": [incident.ref, "fix_verified"],
        "control": [incident.ref, "kill_switch"],
        "control-confirm": [incident.ref, run.pk],
        "contact": ["legal_lead"],
        **{name: [] for name in ("contacts", "contacts-reviewed", "shifts", "shift-new")},
        **{name: [sheet.pk] for name in ("shift", "shift-take", "shift-pdf")},
    }


def test_the_table_names_every_address_of_the_portal():
    names = {key for key in get_resolver().namespace_dict["portal"][1].reverse_dict if isinstance(key, str)}
    assert names == set(MAY)


@pytest.mark.parametrize("role", sorted(EVERYBODY))
def test_each_role_reads_and_sends_exactly_what_the_table_says(client, addresses, role):
    """Sent without any field: what is allowed ends in a refusal by the form (400, 409, 422), never in 403."""
    client.force_login(people.person("Someone", role))
    wrong = {}
    for name, (readers, senders) in MAY.items():
        read = client.get(addresses[name]).status_code
        sent = client.post(addresses[name], {"x": "y"}).status_code
        wants_read = {200} if role in readers else {403} if readers else {405}
        wants_sent = {ASKS_NOTHING.get(name, 400), 409, 422} if role in senders else {403} if senders else {405}
        if name == "postmortem" and role == "viewer":
            wants_sent = {409}  # refused with a sentence of its own
        if read not in wants_read or sent not in wants_sent:
            wrong[name] = (read, sent)
    assert wrong == {}


def test_strangers_are_sent_to_the_sign_in_and_change_nothing(client, addresses):
    before = Entry.objects.count()
    answers = {
        (name, method): getattr(client, method)(address)
        for name, address in addresses.items()
        for method in ("get", "post", "head", "put", "delete")
    }
    assert {answer.status_code for answer in answers.values()} == {302}
    assert {answer["Location"].partition("?")[0] for answer in answers.values()} == {"/accounts/login/"}
    assert not any(answer.content for answer in answers.values())
    assert Entry.objects.count() == before


def test_htmx_parts_are_as_private_as_their_pages(client, addresses):
    for name in ("incident", "declare-suggestion", "declare-outlook"):
        answer = client.get(addresses[name], headers={"HX-Request": "true"})
        assert (answer.status_code, answer.content) == (302, b"")


def test_nothing_of_an_incident_is_public_before_somebody_publishes_it(client, addresses):
    resolver = get_resolver().namespace_dict["statuspage"][1]
    names = [key for key in resolver.reverse_dict if isinstance(key, str)]
    with_argument = ("incident", "incident-json", "by-ref", "leave", "confirm", "manage", "follow")
    with_argument += ("maintenance", "maintenance-json", "maintenance-calendar", "component-calendar", "brand")
    public = [reverse(f"statuspage:{name}") for name in names if name not in with_argument]
    for address in [*public, "/i/INC-1", "/healthz", "/portal/pulse/", "/accounts/login/"]:
        answer = client.get(address)
        assert "Northwind" not in answer.content.decode(), address
        assert "INC-1" not in answer.content.decode(), address
    assert client.get("/i/INC-1").status_code == 404


def test_a_viewer_is_offered_nothing_a_viewer_may_not_do(client, addresses, ada):
    client.force_login(ada)
    html = client.get(addresses["incident"]).content.decode()
    for name, (readers, senders) in MAY.items():
        if not {"viewer"} & (readers | senders):
            assert f'"{addresses[name]}"' not in html, name


def test_a_commander_is_offered_no_button_that_publishes(client, addresses, grace):
    client.force_login(grace)
    html = client.get(addresses["incident"]).content.decode()
    assert addresses["message-approve"] not in html
    assert addresses["duty-waive"] not in html
    assert addresses["severity"] in html


def test_a_responder_cannot_send_by_posting_what_a_publisher_previewed(client, addresses, lee, lin):
    client.force_login(lin)
    facts = {"status": "identified", "at": "2026-03-02 14:30", "customer_text": "We found it."}
    client.post(addresses["update-preview"], facts)
    client.force_login(lee)
    assert client.post(addresses["update-send"], facts).status_code == 403
    assert not Announcement.objects.filter(topic="update").exists()


@pytest.mark.parametrize("ref", ["INC-99", "INC-%00", "%2e%2e", "INC-1%0d%0aX", "x" * 300])
def test_an_incident_that_does_not_exist_is_not_found(client, addresses, lin, ref):
    client.force_login(lin)
    for path in ("", "/update", "/severity", "/duties/1/waive", "/messages/1/approve", "/postmortem/"):
        answer = client.post if "approve" in path else client.get
        assert answer(f"/portal/incidents/{ref}{path}").status_code in (403, 404)


def test_a_draft_or_duty_is_reached_only_through_its_own_incident(client, addresses, lin):
    client.force_login(lin)
    message, duty = Incident.objects.get(number=1).messages.get(), Incident.objects.get(number=1).duties.first()
    facts = {"content_hash": message.content_hash}
    assert client.post(f"/portal/incidents/INC-2/messages/{message.pk}/approve", facts).status_code == 404
    assert client.post(f"/portal/incidents/INC-2/duties/{duty.pk}/waive", {"reason": "x"}).status_code == 404
    assert client.get(f"/portal/incidents/INC-1/duties/{10**30}/waive").status_code == 404
