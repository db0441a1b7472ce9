"""Where a right depends on whose it is: one's own text, a role one holds, an object of another incident.

Every row is one deed on one object; each person who could try it has a cell. Nothing of one cell is left for the next.
"""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.core.files.base import ContentFile
from django.db import transaction
from django.test import Client
from django.urls import resolve
from django.utils import timezone

from incidents import workflow
from incidents.comms import actions
from incidents.evidence import actions as evidence
from incidents.evidence import store
from incidents.lifecycle.models import Role, RoleContact
from incidents.policy import actions as policy
from incidents.postmortems import actions as postmortems
from incidents.postmortems.models import PostMortem
from incidents.runbooks import actions as runbooks
from tests import people
from tests.incidents.evidence.kept import said
from tests.incidents.postmortems.worked import data
from tests.incidents.runbooks.conftest import SMALL
from tests.incidents.test_every_deed import pressed, proposed
from tests.incidents.test_permissions import ROUTES

pytestmark = pytest.mark.django_db
INC, OTHER = "/portal/incidents/INC-1", "/portal/incidents/INC-2"
# Ada and Vera look, Marek and Edith too but are legal lead and executive sponsor; Lee responds, Grace commands, Lin
# publishes and is comms lead, Pat only publishes, Root is admin.
NAMES = ("ada", "marek", "edith", "lee", "grace", "lin", "pat", "root")
DONE, SHOWN, REFUSED, FORM, NEVER, NOWHERE = 302, 200, 409, 400, 403, 404
NOBODYS = ("portal:maintenance",)  # works on no incident, the same for its author and others; see test_roles.py
TEXT = "### What happened\n\nRequests failed."

CELLS = {
    # deed and object:                      ada      marek    edith    lee      grace    lin      pat      root
    "approve what Lee wrote":              (REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, DONE,    REFUSED, REFUSED),
    "approve what Lin wrote":              (REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, DONE,    DONE),
    "approve Lee's notice":                (REFUSED, DONE,    DONE,    REFUSED, REFUSED, REFUSED, REFUSED, REFUSED),
    "approve Marek's notice":              (REFUSED, REFUSED, DONE,    REFUSED, REFUSED, REFUSED, REFUSED, REFUSED),
    "approve by another incident":         (NOWHERE,) * 8,
    "rewrite what Lee wrote":              (NEVER,   NEVER,   NEVER,   DONE,    FORM,    FORM,    FORM,    FORM),
    "rewrite what Lin wrote":              (NEVER,   NEVER,   NEVER,   FORM,    FORM,    DONE,    FORM,    FORM),
    "rewrite by another incident":         (NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 5),
    "send back what Lee wrote":            (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE),
    "send back what Lin wrote":            (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE),
    "send back by another incident":       (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 3),
    "send alone what Lee wrote":           (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE),
    "send alone what Lin wrote":           (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE),
    "send alone by another incident":      (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 3),
    "record a decision on regulators":     (NEVER,   DONE,    NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE),
    "record a filing":                     (NEVER,   DONE,    NEVER,   NEVER,   NEVER,   FORM,    FORM,    FORM),
    "record a notice given otherwise":     (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE),
    "review what Pat sent":                (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   DONE,    FORM,    DONE),
    "settle by another incident":          (NOWHERE,) * 8,
    "waive a promise":                     (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE),
    "waive by another incident":           (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 3),
    "enter a law":                         (NEVER,   DONE,    NEVER,   DONE,    DONE,    DONE,    DONE,    DONE),
    "withdraw a law Lee entered":          (NEVER,   DONE,    NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE),
    "withdraw by another incident":        (NOWHERE,) * 8,
    "correct a line Grace wrote":          (NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE,    DONE,    DONE),
    "correct by another incident":         (NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 5),
    "approve Lee's and Grace's report":    (NEVER,   NEVER,   NEVER,   NEVER,   REFUSED, DONE,    DONE,    DONE),
    "send their report back":              (NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE,    DONE,    DONE),
    "keep a text":                         (NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE,    DONE,    DONE),
    "keep a file":                         (NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE,    DONE,    DONE),
    "hold all evidence":                   (NEVER,   NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE,    DONE),
    "take all evidence out":               (NEVER,   NEVER,   NEVER,   NEVER,   SHOWN,   SHOWN,   SHOWN,   SHOWN),
    "look at Lee's evidence":              (SHOWN,) * 8,
    "look at Lee's evidence, elsewhere":   (NOWHERE,) * 8,
    "read Lee's evidence":                 (NEVER,   NEVER,   NEVER,   SHOWN,   SHOWN,   SHOWN,   SHOWN,   SHOWN),
    "read Lee's evidence, elsewhere":      (NOWHERE,) * 8,
    "put Lee's evidence right":            (NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE,    DONE,    DONE),
    "put Lee's evidence right, elsewhere": (NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 5),
    "hold Lee's evidence":                 (NEVER,   NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE,    DONE),
    "hold Lee's evidence, elsewhere":      (NEVER,   NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 4),
    "release what Grace holds":            (NEVER,   NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE,    DONE),
    "release what Grace holds, elsewhere": (NEVER,   NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 4),
    "start a run":                         (NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE,    DONE,    DONE),
    "look at Grace's run":                 (SHOWN,) * 8,
    "look at Grace's run, elsewhere":      (NOWHERE,) * 8,
    "tick in Grace's run":                 (NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE,    DONE,    DONE),
    "tick in Grace's run, elsewhere":      (NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 5),
    "skip in Grace's run":                 (NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE,    DONE,    DONE),
    "skip in Grace's run, elsewhere":      (NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 5),
    "tick again what Lee ticked":          (NEVER,   NEVER,   NEVER,   REFUSED, REFUSED, REFUSED, REFUSED, REFUSED),
    "tick again what Lee ticked, elsewhere":(NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 5),
    "open what Lee ticked":                (NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE,    DONE,    DONE),
    "open what Lee ticked, elsewhere":     (NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 5),
    "say more of what Lee ticked":         (NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE,    DONE,    DONE),
    "say more of what Lee ticked, elsewhere":(NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 5),
    "end Grace's run":                     (NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE,    DONE,    DONE),
    "end Grace's run, elsewhere":          (NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 5),
    "look at a version of a runbook":      (SHOWN,) * 8,
    "hand over Grace's role":              (FORM,    FORM,    FORM,    FORM,    DONE,    FORM,    FORM,    DONE),
    "hand over Grace's role, elsewhere":   (FORM,) * 8,
    "hand over Ada's role":                (DONE,    FORM,    FORM,    FORM,    DONE,    FORM,    FORM,    DONE),
    "hand over Ada's role, elsewhere":     (FORM,) * 8,
    "take what Lee was handed":            (REFUSED, REFUSED, REFUSED, DONE,    REFUSED, REFUSED, REFUSED, REFUSED),
    "take what Lee was handed, elsewhere": (NOWHERE,) * 8,
    "sign a shift to Lee":                 (NEVER,   NEVER,   NEVER,   FORM,    DONE,    DONE,    DONE,    DONE),
    "look at Lee's sheet":                 (SHOWN,) * 8,
    "print Lee's sheet":                   (SHOWN,) * 8,
    "take the shift from Lee":             (REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, DONE,    REFUSED, REFUSED),
    "answer the call to Lin":              (REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, DONE,    REFUSED, REFUSED),
    "answer the call to Lin, elsewhere":   (NOWHERE,) * 8,
    "confirm Grace's halt":                (NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE,    DONE,    DONE),
    "confirm Grace's halt, elsewhere":     (NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 5),
    "look at Lin's policy":                (SHOWN,) * 8,
    "take Lin's policy as a file":         (SHOWN,) * 8,
    "clone Lin's policy":                  (NEVER,   NEVER,   NEVER,   NEVER,   DONE,    NEVER,   NEVER,   DONE),
    "edit Lin's submitted policy":         (NEVER,   NEVER,   NEVER,   NEVER,   FORM,    NEVER,   NEVER,   FORM),
    "edit Grace's draft":                  (NEVER,   NEVER,   NEVER,   NEVER,   DONE,    NEVER,   NEVER,   DONE),
    "edit a cell of Grace's draft":        (NEVER,   NEVER,   NEVER,   NEVER,   FORM,    NEVER,   NEVER,   FORM),
    "submit Grace's draft":                (NEVER,   NEVER,   NEVER,   NEVER,   DONE,    NEVER,   NEVER,   DONE),
    "approve Lin's policy":                (NEVER,   NEVER,   NEVER,   NEVER,   DONE,    NEVER,   NEVER,   DONE),
    "approve Grace's draft":               (NEVER,   NEVER,   NEVER,   NEVER,   FORM,    NEVER,   NEVER,   FORM),
    "approve what Grace submitted":        (NEVER,   NEVER,   NEVER,   NEVER,   FORM,    NEVER,   NEVER,   DONE),
    "send Lin's policy back":              (NEVER,   NEVER,   NEVER,   NEVER,   DONE,    NEVER,   NEVER,   DONE),
    "withdraw Grace's draft":              (NEVER,   NEVER,   NEVER,   NEVER,   DONE,    NEVER,   NEVER,   DONE),
    "withdraw Lin's policy":               (NEVER,   NEVER,   NEVER,   NEVER,   DONE,    NEVER,   NEVER,   DONE),
    "approve the default Lin proposed":    (NEVER,   NEVER,   NEVER,   NEVER,   DONE,    NEVER,   NEVER,   DONE),
}  # fmt: skip


@pytest.fixture
def crew(ada, lee, grace, lin, root) -> SimpleNamespace:
    marek, edith, pat = (people.person(name, role) for name, role in
                         [("Marek", "viewer"), ("Edith", "viewer"), ("Pat", "publisher")])  # fmt: skip
    for role, person in {Role.LEGAL_LEAD: marek, Role.EXECUTIVE_SPONSOR: edith}.items():
        RoleContact.objects.create(role=role, person=person)
    return SimpleNamespace(ada=ada, marek=marek, edith=edith, lee=lee, grace=grace, lin=lin, pat=pat, root=root)


@pytest.fixture
def deeds(crew, declare, update, freezer, settings, tmp_path) -> dict[str, tuple[str, dict[str, object]]]:
    """Address and fields of each deed. INC-1 is open, INC-2 resolved; what INC-1 has is looked for under both."""
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    incident, over = declare(), declare(title="Over")

    def draft(by):
        update(incident, customer_text=f"{by} looks.", by=by, send=False)
        return incident.messages.get(status="draft", author=by, kind="update")

    def notice(by):
        return actions.write_notice(incident, kind="incident_notice", text=TEXT, by=by)

    def duty(message_class):
        return incident.duties.open().get(message_class=message_class).pk

    lees, lins, lees_notice, mareks_notice = draft(crew.lee), draft(crew.lin), notice(crew.lee), notice(crew.marek)
    alone = draft(crew.grace)
    workflow.send_unapproved(alone, by=crew.pat, content_hash=alone.content_hash, reason="Nobody is awake")
    said = {"name": "DORA Art. 19", "runs_from": timezone.now(), "due_at": timezone.now() + timedelta(hours=20)}
    law = workflow.enter_law(incident, audience="regulators", **said, reason="Major", by=crew.lee)
    line = incident.timeline.first()
    report = reviewed(over, update, crew)

    seen = {message.pk: {"content_hash": message.content_hash} for message in (lees, lins, lees_notice, mareks_notice)}
    why = {"reason": "Because", "text": "Because", "asserts": "no", "said": "Still looking."}
    entered = {"audience": "customers", "name": "GDPR Art. 34", "reason": "Data"}
    entered |= {"runs_from": "2026-03-02 14:30", "due_at": "2026-03-03 14:30"}
    return {
        "approve what Lee wrote": (f"{INC}/messages/{lees.pk}/approve", seen[lees.pk]),
        "approve what Lin wrote": (f"{INC}/messages/{lins.pk}/approve", seen[lins.pk]),
        "approve Lee's notice": (f"{INC}/messages/{lees_notice.pk}/approve", seen[lees_notice.pk]),
        "approve Marek's notice": (f"{INC}/messages/{mareks_notice.pk}/approve", seen[mareks_notice.pk]),
        "approve by another incident": (f"{OTHER}/messages/{lees.pk}/approve", seen[lees.pk]),
        "rewrite what Lee wrote": (f"{INC}/messages/{lees.pk}/rewrite", why),
        "rewrite what Lin wrote": (f"{INC}/messages/{lins.pk}/rewrite", why),
        "rewrite by another incident": (f"{OTHER}/messages/{lees.pk}/rewrite", why),
        "send back what Lee wrote": (f"{INC}/messages/{lees.pk}/send-back", why),
        "send back what Lin wrote": (f"{INC}/messages/{lins.pk}/send-back", why),
        "send back by another incident": (f"{OTHER}/messages/{lees.pk}/send-back", why),
        "send alone what Lee wrote": (f"{INC}/messages/{lees.pk}/without-approval", why | seen[lees.pk]),
        "send alone what Lin wrote": (f"{INC}/messages/{lins.pk}/without-approval", why | seen[lins.pk]),
        "send alone by another incident": (f"{OTHER}/messages/{lees.pk}/without-approval", why | seen[lees.pk]),
        "record a decision on regulators": (f"{INC}/duties/{duty('regulator_decision')}/settle", why),
        "record a filing": (f"{INC}/duties/{duty('regulator_filing')}/settle", why),
        "record a notice given otherwise": (f"{INC}/duties/{duty('incident_notice')}/settle", why),
        "review what Pat sent": (f"{INC}/duties/{duty('review')}/settle", why),
        "settle by another incident": (f"{OTHER}/duties/{duty('regulator_decision')}/settle", why),
        "waive a promise": (f"{INC}/duties/{duty('internal_update')}/waive", why),
        "waive by another incident": (f"{OTHER}/duties/{duty('internal_update')}/waive", why),
        "enter a law": (f"{INC}/laws/enter", entered),
        "withdraw a law Lee entered": (f"{INC}/laws/{law.pk}/withdraw", why),
        "withdraw by another incident": (f"{OTHER}/laws/{law.pk}/withdraw", why),
        "correct a line Grace wrote": (f"{INC}/timeline/{line.pk}/correct", why | {"at": "2026-03-02 14:28"}),
        "correct by another incident": (f"{OTHER}/timeline/{line.pk}/correct", why | {"at": "2026-03-02 14:28"}),
        "approve Lee's and Grace's report": (f"{OTHER}/postmortem/approve", report),
        "send their report back": (f"{OTHER}/postmortem/send-back", why),
        **about_evidence(incident, crew),
        **about_runs(incident, crew),
        **about_passing(incident, crew),
        **about_people(incident, crew),
        **about_policy(incident, crew),
    }


def under_both(deed: str, end: str, fields: object) -> dict[str, tuple[str, object]]:
    """A deed on an object of INC-1: by its own address, and by that of an incident it does not belong to."""
    return {deed: (f"{INC}/{end}", fields), f"{deed}, elsewhere": (f"{OTHER}/{end}", fields)}


def about_evidence(incident, crew) -> dict[str, tuple[str, object]]:
    """Lee kept E-1, in which personal data can be; Grace placed a hold."""
    evidence.receive(incident, store.of_text("Guard log"), said(), by=crew.lee)
    placed = evidence.hold(incident, reason="Legal asks", by=crew.grace)
    item = {"title": "Log", "source": "guard-7", "captured_at": "2026-03-02 14:28", "personal": "no", "text": "Line"}
    whole = {"whole": "yes"}
    return {
        "keep a text": (f"{INC}/evidence/add/text", item),
        "keep a file": (f"{INC}/evidence/add/file", lambda: item | {"file": ContentFile(b"Log", "a.log"), **whole}),
        "hold all evidence": (f"{OTHER}/evidence/hold", {"reason": "Legal asks"}),
        "take all evidence out": (f"{INC}/evidence/export", {}),
        **under_both("look at Lee's evidence", "evidence/E-1", None),
        **under_both("read Lee's evidence", "evidence/E-1/read", {}),
        **under_both("put Lee's evidence right", "evidence/E-1/correct", item | {"reason": "Wrong log"}),
        **under_both("hold Lee's evidence", "evidence/E-1/hold", {"reason": "Legal asks"}),
        **under_both("release what Grace holds", f"evidence/holds/{placed.pk}/lift", {"reason": "Over"}),
    }


def about_runs(incident, crew) -> dict[str, tuple[str, object]]:
    """Grace started it; Lee ticked the second step."""
    book = runbooks.write(SMALL, note="First", by=crew.grace).runbook
    run = runbooks.start(incident, book, by=crew.grace)
    step = runbooks.settle(run.steps.get(position=2), state="done", by=crew.lee)
    said, steps = {"note": "Looked", "seen": 0}, f"runbooks/{run.pk}/steps"
    return {
        "start a run": (f"{OTHER}/runbooks/start", {"runbook": book.code}),
        **under_both("look at Grace's run", f"runbooks/{run.pk}", None),
        **under_both("tick in Grace's run", f"{steps}/1/done", said),
        **under_both("skip in Grace's run", f"{steps}/1/skip", said),
        **under_both("tick again what Lee ticked", f"{steps}/2/done", said | {"seen": step.changes.last().pk}),
        **under_both("open what Lee ticked", f"{steps}/2/undo", said | {"seen": step.changes.last().pk}),
        **under_both("say more of what Lee ticked", f"{steps}/2/note", said),
        **under_both("end Grace's run", f"runbooks/{run.pk}/stop", {"reason": "Another one"}),
        "look at a version of a runbook": (f"/portal/runbooks/{book.code}/versions/1", None),
    }


def about_passing(incident, crew) -> dict[str, tuple[str, object]]:
    """Grace handed a role to Lee; Lee signed a sheet for Lin."""

    def term(role):
        return incident.roles.get(role=role, ended_at=None).pk

    workflow.assign(incident, role=Role.SCRIBE, person=crew.grace, by=crew.grace)
    workflow.assign(incident, role=Role.TECHNICAL_LEAD, person=crew.ada, by=crew.grace)
    [given] = workflow.hand_over(incident, terms=[term(Role.SCRIBE)], to=crew.lee, still_open="None.", by=crew.grace)
    sheet = workflow.hand_over_shift(to=crew.lin, questions="none", by=crew.lee)
    over = {"to": crew.lee.pk, "still_open": "The pool."}
    return {
        **under_both("hand over Grace's role", "hand-over", over | {"terms": [term(Role.INCIDENT_COMMANDER)]}),
        **under_both("hand over Ada's role", "hand-over", over | {"terms": [term(Role.TECHNICAL_LEAD)]}),
        **under_both("take what Lee was handed", f"hand-overs/{given.pk}/take", {}),
        "sign a shift to Lee": ("/portal/shifts/new", {"to": crew.lee.pk, "questions": "none"}),
        "look at Lee's sheet": (f"/portal/shifts/{sheet.pk}", None),
        "print Lee's sheet": (f"/portal/shifts/{sheet.pk}/pdf", None),
        "take the shift from Lee": (f"/portal/shifts/{sheet.pk}/take", {}),
    }


def about_people(incident, crew) -> dict[str, tuple[str, object]]:
    """Lin is called; Grace halts."""
    call = incident.calls.filter(person=crew.lin).first()
    halt = pressed(incident, crew.grace)
    seen = {"at": f"{timezone.now():%Y-%m-%d %H:%M:%S}", "proof": "503"}
    return {
        **under_both("answer the call to Lin", f"calls/{call.pk}/acknowledge", {}),
        **under_both("confirm Grace's halt", f"controls/{halt.pk}/confirm", seen),
    }


def about_policy(incident, crew) -> dict[str, tuple[str, object]]:
    """Lin drafts one version, submitted; Grace another one, still a draft."""
    waits = policy.clone(incident.policy_version, into="default-unified", by=crew.lin)
    waits = policy.submit(waits, change_note="Sooner", by=crew.lin, seen=1)
    draft = policy.clone(incident.policy_version, into="night", by=crew.grace)
    graces_waits = policy.clone(incident.policy_version, into="day", by=crew.grace)
    graces_waits = policy.submit(graces_waits, change_note="Later", by=crew.grace, seen=1)
    choice = proposed(crew.lin)
    lins, graces = f"/portal/policy/default-unified/{waits.number}", f"/portal/policy/night/{draft.number}"
    why, seen = {"reason": "Because"}, {"sha256": waits.sha256}
    return {
        "look at Lin's policy": (f"{lins}/", None),
        "take Lin's policy as a file": (f"{lins}/export", None),
        "clone Lin's policy": (f"{lins}/clone", {"into": "mine"}),
        "edit Lin's submitted policy": (f"{lins}/edit/approvals", {"seen": 1}),
        "edit Grace's draft": (f"{graces}/edit/approvals", {"seen": 1}),
        "edit a cell of Grace's draft": (f"{graces}/cell/1/customers", {"seen": 1}),
        "submit Grace's draft": (f"{graces}/submit", {"seen": 1, "change_note": "Sooner"}),
        "approve Lin's policy": (f"{lins}/approve", seen),
        "approve Grace's draft": (f"{graces}/approve", {"sha256": draft.sha256}),
        "approve what Grace submitted": (
            f"/portal/policy/day/{graces_waits.number}/approve",
            {"sha256": graces_waits.sha256},
        ),
        "send Lin's policy back": (f"{lins}/send-back", why),
        "withdraw Grace's draft": (f"{graces}/withdraw", why),
        "withdraw Lin's policy": (f"{lins}/withdraw", why),
        "approve the default Lin proposed": (f"/portal/policy/default/settle/{choice.pk}", {"deed": "approve"}),
    }


def reviewed(incident, update, crew) -> dict[str, object]:
    """The report of `incident`, written by Lee and then Grace, in review; what its page sends to approve it."""
    workflow.add_note(incident, text="Stopped.", at=timezone.now(), by=crew.grace, marker="contained")
    update(incident, status="resolved", reason="Stable")
    report = PostMortem.objects.get(incident=incident)
    report = postmortems.save_draft(report, data(crew.lee), by=crew.lee, seen=report.revision)
    report = postmortems.save_draft(report, {"tracker": "AG-2"}, by=crew.grace, seen=report.revision)
    report = postmortems.submit(report, by=crew.lee)
    return {"content_hash": postmortems.content_hash(report)}


def test_every_deed_has_a_cell_for_everybody(deeds, crew):
    assert set(deeds) == set(CELLS)
    assert {len(cells) for cells in CELLS.values()} == {len(NAMES)}
    assert set(vars(crew)) == set(NAMES)


def test_every_address_of_an_object_has_a_cell_for_its_own_and_for_another_incident(deeds):
    objects = {name: route for name, route in ROUTES if name.startswith("portal:") and "<int:" in route}
    wanted = {(name, place) for name, route in objects.items() if "<slug:ref>" in route for place in ("INC-1", "INC-2")}
    wanted |= {(name, "") for name, route in objects.items() if "<slug:ref>" not in route}
    found = [resolve(address) for address, _ in deeds.values()]
    missing = wanted - {(match.view_name, match.kwargs.get("ref", "")) for match in found}
    assert {name for name, _ in missing if not name.startswith(NOBODYS)} == set()


def test_everybody_may_do_to_each_object_exactly_what_its_cell_says(deeds, crew):
    wrong = {}
    for column, name in enumerate(NAMES):
        client = Client()
        client.force_login(getattr(crew, name))
        for deed, (address, fields) in deeds.items():
            with transaction.atomic():
                fields = fields() if callable(fields) else fields
                answer = client.get(address) if fields is None else client.post(address, fields)
                b"".join(answer)  # to its end: what is taken out is a stream
                found = answer.status_code
                transaction.set_rollback(True)
            if found != CELLS[deed][column]:
                wrong[f"{name}: {deed}"] = (found, CELLS[deed][column])
    assert wrong == {}
