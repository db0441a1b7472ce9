"""The post-mortem and its PDF print what is kept of an incident and what the AI was."""

import page
import pytest
from django.template.loader import render_to_string
from django.utils import timezone

from incidents.evidence import actions, queries, store
from incidents.postmortems import actions as postmortems
from incidents.postmortems import queries as report
from incidents.postmortems import views
from tests.incidents.evidence.test_ai_context import SAID

pytestmark = pytest.mark.django_db
DECISION = {"at": None, "verdict": "block", "what": "Second refund", "rule": "pay-2", "rationale": "Twice"}


@pytest.fixture
def reviewed(incident, grace):
    return postmortems.open_for(incident, by=grace)


@pytest.fixture
def context(incident, lee):
    return actions.save_context(incident, SAID | {"no_decisions": ""}, [DECISION], by=lee, seen=0)


def printed(reviewed) -> str:
    said = report.report_context(reviewed, made_at=timezone.now(), made_by="Grace")
    return render_to_string("pdf/postmortem.html", said | views._kept(reviewed.incident))


def test_the_report_prints_what_the_ai_was(reviewed, context):
    # covers R002-08
    html = printed(reviewed)
    for value in ("atlas-4 2026-02-01", "eu-1, fallback eu-2", "boundary.yaml 14", "issue_refund", "Northwind"):
        assert value in html
    assert "12.5 before, 80 after, USD an hour" in html
    assert "99.3 before, 61 after, % of requests" in html
    assert "Second refund" in html
    assert "revision 1 by Lee" in html


def test_the_report_lists_every_item_with_its_hash_and_state(reviewed, keep, incident, grace):
    # covers R002-06
    one, two = keep(), keep("14:00 BLOCK")
    keep("14:01 BLOCK", instead_of=two, reason="Cut")
    actions.hold(incident, reason="Litigation", by=grace, item=one)
    store.path_of(one.sha256).unlink()
    actions.verify(incident, by=grace)
    html = printed(reviewed)
    assert "damaged: its file is missing, on hold, may hold personal data" in html
    assert "put right by E-3" in html
    assert one.sha256[:8] in html
    assert "Other evidence: not recorded" not in html


def test_without_evidence_the_report_says_so(reviewed):
    assert "Other evidence: not recorded" in printed(reviewed)


def test_the_page_of_the_review_leads_to_the_ai_context(client, reviewed, context, grace):
    client.force_login(grace)
    html = client.get("/portal/incidents/INC-1/postmortem/").content.decode()
    assert "AI context, from the record" in html
    assert "/portal/incidents/INC-1/ai" in html


def test_the_pdf_with_all_of_it_is_valid_for_archives_and_readers(client, reviewed, context, keep, grace):
    keep()
    client.force_login(grace)
    answer = client.get("/portal/incidents/INC-1/postmortem/pdf")
    assert answer.status_code == 200
    assert queries.context(reviewed.incident)
    for profile in ("3a", "ua1"):
        assert [failure.message for failure in page.validate_pdf_bytes(answer.content, profile=profile).failures] == []
