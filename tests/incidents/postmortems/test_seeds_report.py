"""The report of the worked example holds every section, field and column the seeds' post-mortem templates ask for."""

import re

import pytest
from django.template.loader import render_to_string

from incidents.postmortems import queries
from incidents.postmortems.models import ActionItem, PostMortem
from tests.incidents.postmortems import worked

pytestmark = pytest.mark.django_db


@pytest.fixture
def chapters(freezer, grace, lin) -> dict[str, str]:
    """The text of each chapter by its heading, white space folded; what stands before the first is the cover."""
    draft = worked.written(freezer, commander=grace, writer=lin)
    html = render_to_string("pdf/postmortem.html", queries.report_context(draft, made_at=draft.updated_at))
    parts = re.split(r"<h2[^>]*>(.*?)</h2>", html, flags=re.DOTALL)
    texts = [" ".join(re.sub(r"<[^>]+>", " ", part).split()).replace("\N{NO-BREAK SPACE}", " ") for part in parts]
    names = ["Cover", *(re.sub(r"^\w+ ", "", name) for name in texts[1::2])]
    return dict(zip(names, texts[0::2], strict=True))


def lacking(chapters: dict[str, str], wanted: dict[str, list[str]]) -> list[str]:
    return [f"{name}: {text}" for name, texts in wanted.items() for text in texts if text not in chapters[name]]


LISTS, CAUSE = "What went well, wrong, and could improve", "Root cause and contributing factors"
MOMENTS = ["14:30 Detected.", "14:50 Contained.", "15:15 Resolved."]


# covers R000-23..26
def test_it_holds_the_template_of_the_plan_generator(chapters):
    wanted = {
        "Cover": [
            "Post-incident report INC-1 Agent API unavailable",
            "24 October 2025",
            "Severity SEV1 Critical",
            "45 min 14:30 to 15:15 UTC",
        ],
        "Summary": ["On 24 October 2025 every request to the Agent API failed for all users"],
        "Key facts": ["Duration 45 min from 14:30 to 15:15 UTC", "Commander Grace, from 14:32 UTC on"],
        "Timeline": ["14:35 Identified. Status changed", *MOMENTS],
        CAUSE: ["Root cause (capacity) The connection pool was configured with a maximum of ten connections."],
        "Impact": ["Users affected 100 %", "Data None lost, none changed", "Revenue about 500 US dollars"],
        LISTS: ["Went well Monitoring noticed the failure at once.", "Went wrong The incident was closed"],
        "Action items": [
            "No. Action Type Owner Priority Due Status",
            "1.1 Increase the connection pool to 50 prevent Lin",
        ],
        "Lessons and changes": ["Capacity planning: plan for three to five times the expected load."],
    }
    assert lacking(chapters, wanted) == []
    assert ActionItem().get_status_display() == "Open"


# covers R001-43, R001-29: attendees and agenda of the review are sections of the report
def test_it_holds_the_review_document_of_the_response_plan(chapters):
    wanted = {
        "Cover": ["24 October 2025", "SEV1 Critical", "45 min"],
        "Key facts": ["Commander Grace"],
        "Timeline": ["UTC Event Source", *MOMENTS],
        CAUSE: ["Root cause (capacity)"],
        "Impact": [
            "Users affected 100 % of users",
            "Failed requests 2,700 (estimate)",
            "Revenue about 500 US dollars (estimate)",
        ],
        LISTS: ["Went well Monitoring", "Could improve Size pools for three to five times"],
        "Action items": [
            "Lin P0 24 Oct 2025 Done",
            "Lin P1 27 Oct 2025 In progress",
            "Lin P1 30 Oct 2025 Open",
            "Lin P2 1 Nov 2025 Open",
        ],
        "Lessons and changes": ["Capacity planning: plan for", "Monitoring: every bounded resource is watched."],
        "Follow-up": [
            "Review meeting 25 October 2025, 10:00 UTC",
            "Attendees Commander, comms lead, technical lead, QA lead",
            "Customers Public summary on 25 October 2025, 16:40 UTC",
            "Tracker AG-1042",
        ],
    }
    assert lacking(chapters, wanted) == []


# covers R001-44, C-17, C-18
def test_it_tells_the_worked_example_with_its_numbers(chapters):
    wanted = {
        "Times and targets": [
            "Detected 14:30",
            "Acknowledged 14:32",
            "Identified 14:35",
            "Contained 14:50",
            "Recovered 15:00",
            "Resolved 15:15",
            "Time to acknowledge 2 min 15 min Met",
            "Impact began to resolved 45 min",
        ],
        "Key facts": ["Closed before the gate Yes: No failed request since 14:58"],
        "Impact": ["2,700", "500 US dollars"],
        LISTS: ["Went wrong The incident was closed after half", "Could improve Size pools for three"],
        "Action items": [f"1.{n} " for n in (1, 2, 3, 4, 5)],
    }
    assert lacking(chapters, wanted) == []
    assert "1.6 " not in chapters["Action items"]


# covers R002-09
def test_it_answers_the_five_questions_of_the_playbook(chapters):
    wanted = {
        "Timeline": MOMENTS,
        CAUSE: ["Why controls did not prevent it Control 4 (monitoring): no alert on waiting connections existed."],
        "Detection": ["The error-rate alert fired at once.", "would have fired earlier"],
        "Response": ["Recovery Error rate 0.0 % since 14:58; P95 latency 184 ms"],
        "Action items": ["Let connections scale with the number of instances prevent Lin P1 30 Oct 2025 Open"],
    }
    assert lacking(chapters, wanted) == []


# covers R003-26
def test_it_holds_the_report_of_the_plan_for_ai(chapters):
    wanted = {
        "Summary": ["It is over."],
        "Timeline": MOMENTS,
        CAUSE: ["Root cause (capacity)"],
        "Impact": ["Customers All API requests fail", "Regulatory Not recorded", "Brand Not recorded"],
        "Response": ["The technical lead raised the pool", "The comms lead checked and approved each text"],
        LISTS: ["Went well Monitoring noticed", "Went wrong The incident was closed"],
        "Action items": ["Increase the connection pool to 50 prevent Lin P0 24 Oct 2025 Done"],
        "Lessons and changes": ["Policy change proposed.", "Two alerts added."],
    }
    assert lacking(chapters, wanted) == []


# covers R000-31
def test_the_form_asks_for_conditions_and_not_for_people():
    hints = {name: PostMortem._meta.get_field(name).help_text for name in ("went_wrong", "response", "root_cause")}
    assert "Conditions, not people." in hints["went_wrong"]
    assert "by which role" in hints["response"]
    assert "condition" in hints["root_cause"]
