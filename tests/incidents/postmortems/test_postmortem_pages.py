"""The page of a post-mortem and its PDF, through the address."""

import io
import json
from datetime import timedelta

import page
import pikepdf
import pytest
from django.forms import model_to_dict
from django.template.loader import render_to_string
from django.utils import timezone

from incidents import workflow
from incidents.comms import actions as comms
from incidents.postmortems import actions, queries, views
from incidents.postmortems.forms import PostMortemForm
from incidents.postmortems.models import PostMortem
from irportal.ledger.models import Entry
from tests.incidents.postmortems import worked

pytestmark = pytest.mark.django_db


@pytest.fixture
def draft(freezer, grace, lin):
    return worked.written(freezer, commander=grace, writer=lin)


def address(postmortem: PostMortem, rest: str = "") -> str:
    return f"/portal/incidents/{postmortem.incident.ref}/postmortem/{rest}"


def typed(postmortem: PostMortem, **changed) -> dict:
    """What a browser sends of the page as it is, with these fields changed."""
    form = PostMortemForm(instance=postmortem)
    values = {name: form[name].value() for name in form.fields}
    for number, item in enumerate(postmortem.action_items.all()):
        facts = model_to_dict(item, ["id", "action", "type", "owner", "priority", "due_on", "status", "evidence"])
        values |= {f"action_items-{number}-{name}": value for name, value in facts.items()}
        values |= {f"action_items-{number}-id": item.pk, f"action_items-{number}-postmortem": postmortem.pk}
    count = postmortem.action_items.count()
    values |= {"action_items-TOTAL_FORMS": count, "action_items-INITIAL_FORMS": count, "seen": postmortem.revision}
    values = {name: value for name, value in (values | changed).items() if value not in (None, False)}
    meeting = values.get("followup_meeting_at")
    return values | ({"followup_meeting_at": f"{meeting:%Y-%m-%dT%H:%M}"} if meeting else {})


def test_a_stranger_is_asked_to_sign_in(client, draft):
    assert client.get(address(draft)).status_code == 302


def test_a_viewer_reads_it_without_a_form(client, ada, draft):
    client.force_login(ada)
    assert "Save draft" not in client.get(address(draft)).content.decode()


def test_a_viewer_cannot_save(client, ada, draft):
    client.force_login(ada)
    client.post(address(draft), typed(draft, summary="Mine."))
    draft.refresh_from_db()
    assert draft.summary == worked.FIELDS["summary"]


def test_sending_the_page_unchanged_changes_nothing(client, lin, draft):
    client.force_login(lin)
    assert client.post(address(draft), typed(draft)).status_code == 302
    draft.refresh_from_db()
    assert draft.revision == 1


def test_saving_keeps_what_was_typed(client, lin, draft):
    client.force_login(lin)
    client.post(address(draft), typed(draft, summary="Short. It is over."))
    draft.refresh_from_db()
    assert draft.summary == "Short. It is over."


def test_an_empty_action_row_is_no_action(client, lin, draft):
    client.force_login(lin)
    extra = {"action_items-TOTAL_FORMS": 7, "action_items-5-type": "prevent", "action_items-5-priority": "P1"}
    extra |= {"action_items-5-status": "open", "action_items-6-action": ""}
    client.post(address(draft), typed(draft, **extra))
    assert draft.action_items.count() == 5


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("users_percent", "140", "between 0 and 100 percent"),
        ("failed_requests", "many", "Enter a whole number"),
        ("root_cause", "x" * 100_000, "at most 20000 characters"),
        ("tracker", "x" * 201, "at most 200 characters"),
        ("action_items-0-owner", "", "This field is required"),
    ],
)
def test_what_is_wrong_is_said_and_what_was_typed_is_kept(client, lin, draft, field, value, said):
    client.force_login(lin)
    answer = client.post(address(draft), typed(draft, summary="Typed with care.", **{field: value}))
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert "Typed with care." in answer.content.decode()


def test_script_in_a_field_stays_text(client, lin, draft):
    client.force_login(lin)
    client.post(address(draft), typed(draft, root_cause="</textarea><script>alert(1)</script>"))
    assert "<script>alert" not in client.get(address(draft)).content.decode()


def test_the_second_of_two_who_save_sees_the_other_text_and_keeps_their_own(client, grace, lin, draft):
    mine = typed(draft, summary="What Lin typed.")
    actions.save_draft(draft, {"summary": "What Grace saved."}, by=grace, seen=draft.revision)
    client.force_login(lin)
    answer = client.post(address(draft), mine)
    text = answer.content.decode()
    assert answer.status_code == 409
    assert "Grace saved at 15:40:00 UTC and changed summary." in text
    assert "What Lin typed." in text
    assert "What Grace saved." in text


def test_after_looking_the_second_can_save(client, grace, lin, draft):
    mine = typed(draft, summary="What Lin typed.")
    newer = actions.save_draft(draft, {"summary": "What Grace saved."}, by=grace, seen=draft.revision)
    client.force_login(lin)
    client.post(address(draft), mine | {"seen": newer.revision})
    draft.refresh_from_db()
    assert draft.summary == "What Lin typed."


def test_sending_to_review_saves_first(client, lin, draft):
    client.force_login(lin)
    client.post(address(draft, "submit"), typed(draft, summary="Last words."))
    draft.refresh_from_db()
    assert (draft.status, draft.summary) == ("review", "Last words.")


def test_sending_an_incomplete_draft_says_each_thing_missing(client, lin, draft):
    client.force_login(lin)
    answer = client.post(address(draft, "submit"), typed(draft, root_cause="", went_well=""))
    assert answer.status_code == 409
    assert "Write the root cause" in answer.content.decode()
    assert "or say why a list is empty" in answer.content.decode()


def test_the_writer_is_not_offered_to_approve(client, lin, draft):
    actions.submit(draft, by=lin)
    client.force_login(lin)
    text = client.get(address(draft)).content.decode()
    assert "Approve version" not in text
    assert "somebody else has to approve it" in text


def test_another_approves_what_the_page_showed(client, grace, lin, draft):
    actions.submit(draft, by=lin)
    client.force_login(grace)
    shown = client.get(address(draft)).context["content_hash"]
    client.post(address(draft, "approve"), {"content_hash": shown})
    draft.refresh_from_db()
    assert (draft.status, draft.approver) == ("approved", grace)


def test_a_responder_may_not_approve(client, lee, lin, draft):
    actions.submit(draft, by=lin)
    client.force_login(lee)
    assert client.post(address(draft, "approve"), {"content_hash": actions.content_hash(draft)}).status_code == 403


def test_the_page_asks_the_same_number_of_questions_however_long_the_record(
    client, lin, draft, django_assert_max_num_queries
):
    client.force_login(lin)
    with django_assert_max_num_queries(30):
        client.get(address(draft))


@pytest.fixture
def report(client, freezer, grace, lin) -> bytes:
    """The approved report of the worked example, as Grace downloads it."""
    approved = worked.approved(freezer, commander=grace, writer=lin)
    client.force_login(grace)
    answer = client.get(address(approved, "pdf"))
    assert answer["Content-Disposition"] == f'attachment; filename="{approved.incident.ref}-post-mortem.pdf"'
    return answer.content


def test_the_report_of_the_worked_example_is_valid_and_carries_its_evidence(report):
    for profile in ("3a", "ua1"):
        assert [failure.message for failure in page.validate_pdf_bytes(report, profile=profile).failures] == []
    with pikepdf.open(io.BytesIO(report)) as file:
        evidence = json.loads(file.attachments["evidence.json"].get_file().read_bytes())
        assert file.docinfo["/Title"] == "Post-incident report INC-1: Agent API unavailable"
    lines = list(Entry.objects.filter(subject="INC-1").order_by("n").values_list("line", flat=True))
    assert [entry["line"] for entry in evidence["ledger"]] == lines
    assert lines[-1].count("postmortem.exported") == 1


def test_a_draft_says_on_cover_and_foot_that_nobody_approved_it(draft):
    context = queries.report_context(draft, made_at=draft.updated_at, made_by="Lin")
    text = render_to_string("pdf/postmortem.html", context)
    assert text.count("Draft, not approved") == 2
    assert "Not recorded" in text


def test_the_report_lists_the_dates_of_laws_and_keeps_statements_out_of_the_rhythm(client, freezer, grace, lin, lee):
    draft = worked.written(freezer, commander=grace, writer=lin)
    incident, due_at = draft.incident, timezone.now() + timedelta(hours=20)
    said = {"audience": "regulators", "name": "DORA Art. 19", "reason": "Major", "due_at": due_at}
    law = workflow.enter_law(incident, **said, runs_from=timezone.now(), by=lee)
    workflow.withdraw_law(law, reason="No bank uses it", by=lin)
    statement = comms.write_statement(incident, text="Words for the press.", by=lee)
    workflow.send_unapproved(statement, by=lin, content_hash=statement.content_hash, reason="Asked on air")

    updates, promises = views._updates(incident), views._promises(incident)
    context = queries.report_context(
        draft, promises=promises, updates=updates, laws=list(incident.laws.all()), made_at=timezone.now()
    )
    text = " ".join(render_to_string("pdf/postmortem.html", context).split())
    chapter = text[text.index('id="s12"') : text.index('id="s13"')]
    assert "DORA Art. 19" in chapter
    assert "No bank uses it" in chapter
    assert "Tell the regulator: DORA Art. 19" in text
    assert "Words for the press." not in [update["text"] for update in updates]
