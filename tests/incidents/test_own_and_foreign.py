"""Where a right depends on whose it is: one's own text, a role one holds, an object of another incident.

Every row is one deed on one object; each person who could try it has a cell. Nothing of one cell is left for the next.
"""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from incidents import workflow
from incidents.comms import actions
from incidents.lifecycle.models import Role, RoleContact
from incidents.postmortems import actions as postmortems
from incidents.postmortems.models import PostMortem
from tests import people
from tests.incidents.postmortems.worked import data

pytestmark = pytest.mark.django_db
INC, OTHER = "/portal/incidents/INC-1", "/portal/incidents/INC-2"
# Ada and Vera look, Marek and Edith too but are legal lead and executive sponsor; Lee responds, Grace commands, Lin
# publishes and is comms lead, Pat only publishes, Root is admin.
NAMES = ("ada", "marek", "edith", "lee", "grace", "lin", "pat", "root")
DONE, REFUSED, FORM, NEVER, NOWHERE = 302, 409, 400, 403, 404
TEXT = "### What happened\n\nRequests failed."

CELLS = {
    # deed and object:                     ada      marek    edith    lee      grace    lin      pat      root
    "approve what Lee wrote":             (REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, DONE,    REFUSED, REFUSED),
    "approve what Lin wrote":             (REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, DONE,    DONE),
    "approve Lee's notice":               (REFUSED, DONE,    DONE,    REFUSED, REFUSED, REFUSED, REFUSED, REFUSED),
    "approve Marek's notice":             (REFUSED, REFUSED, DONE,    REFUSED, REFUSED, REFUSED, REFUSED, REFUSED),
    "approve by another incident":        (NOWHERE,) * 8,
    "rewrite what Lee wrote":             (NEVER,   NEVER,   NEVER,   DONE,    FORM,    FORM,    FORM,    FORM),
    "rewrite what Lin wrote":             (NEVER,   NEVER,   NEVER,   FORM,    FORM,    DONE,    FORM,    FORM),
    "rewrite by another incident":        (NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 5),
    "send back what Lee wrote":           (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE),
    "send back what Lin wrote":           (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE),
    "send back by another incident":      (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 3),
    "send alone what Lee wrote":          (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE),
    "send alone what Lin wrote":          (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE),
    "send alone by another incident":     (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 3),
    "record a decision on regulators":    (NEVER,   DONE,    NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE),
    "record a filing":                    (NEVER,   DONE,    NEVER,   NEVER,   NEVER,   FORM,    FORM,    FORM),
    "record a notice given otherwise":    (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE),
    "review what Pat sent":               (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   DONE,    FORM,    DONE),
    "settle by another incident":         (NOWHERE,) * 8,
    "waive a promise":                    (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE),
    "waive by another incident":          (NEVER,   NEVER,   NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 3),
    "enter a law":                        (NEVER,   DONE,    NEVER,   DONE,    DONE,    DONE,    DONE,    DONE),
    "withdraw a law Lee entered":         (NEVER,   DONE,    NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE),
    "withdraw by another incident":       (NOWHERE,) * 8,
    "correct a line Grace wrote":         (NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE,    DONE,    DONE),
    "correct by another incident":        (NEVER,   NEVER,   NEVER,   *(NOWHERE,) * 5),
    "approve Lee's and Grace's report":   (NEVER,   NEVER,   NEVER,   NEVER,   REFUSED, DONE,    DONE,    DONE),
    "send their report back":             (NEVER,   NEVER,   NEVER,   DONE,    DONE,    DONE,    DONE,    DONE),
}  # fmt: skip


@pytest.fixture
def crew(ada, lee, grace, lin, root) -> SimpleNamespace:
    marek, edith, pat = (people.person(name, role) for name, role in
                         [("Marek", "viewer"), ("Edith", "viewer"), ("Pat", "publisher")])  # fmt: skip
    for role, person in {Role.LEGAL_LEAD: marek, Role.EXECUTIVE_SPONSOR: edith}.items():
        RoleContact.objects.create(role=role, person=person)
    return SimpleNamespace(ada=ada, marek=marek, edith=edith, lee=lee, grace=grace, lin=lin, pat=pat, root=root)


@pytest.fixture
def deeds(crew, declare, update, freezer) -> dict[str, tuple[str, dict[str, object]]]:
    """Address and fields of each deed. INC-1 is open, INC-2 resolved; what INC-1 has is looked for under both."""
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


def test_everybody_may_do_to_each_object_exactly_what_its_cell_says(deeds, crew):
    wrong = {}
    for column, name in enumerate(NAMES):
        client = Client()
        client.force_login(getattr(crew, name))
        for deed, (address, fields) in deeds.items():
            with transaction.atomic():
                found = client.post(address, fields).status_code
                transaction.set_rollback(True)
            if found != CELLS[deed][column]:
                wrong[f"{name}: {deed}"] = (found, CELLS[deed][column])
    assert wrong == {}
