"""The pages of a policy, through their addresses: what is read, what is typed, what happens to it."""

import json
import re
from datetime import timedelta

import pytest
from django.utils import timezone
from django.utils.html import escape

from incidents.policy import actions, documents, forms, queries
from incidents.policy.models import DefaultChoice, PolicyProfile, PolicyVersion
from irportal.ledger.models import Entry
from tests import people
from tests.pages import fields

pytestmark = pytest.mark.django_db
HERE = "/portal/policy/default-unified"
LONG = "x" * 5000


@pytest.fixture
def portal(client, organisation, grace, freezer):
    """Grace, who proposes, is signed in; all five profiles are loaded."""
    actions.load_literal()
    client.force_login(grace)
    return client


@pytest.fixture
def draft(portal) -> PolicyVersion:
    portal.post(f"{HERE}/1/clone", {"into": "default-unified"})
    return PolicyVersion.objects.get(number=2)


def typed(client, address, **given) -> dict[str, str]:
    """What the page would send with some fields typed over."""
    page = fields(client.get(address).content.decode())
    page.pop("csrfmiddlewaretoken", None)
    return page | given


def document(number=2):
    return queries.document(PolicyVersion.objects.get(profile__name="default-unified", number=number))


def text(answer) -> str:
    """The page as it reads, without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


# Reading


@pytest.mark.parametrize("name", ["default-unified", "seed-000", "seed-001", "seed-002", "seed-003"])
def test_every_shipped_version_is_read_as_a_matrix(portal, name):
    page = portal.get(f"/portal/policy/{name}/1/")
    rows = len(documents.read((actions.PROFILES / f"{name}.yaml").read_text())["severities"])
    assert page.content.decode().count('<th scope="row">') >= rows
    assert page.content.decode().count('class="cell-name"') == 4 * rows
    assert "cannot be changed" in text(page)
    assert ">Edit<" not in page.content.decode()


def test_a_cell_says_what_is_owed_when_and_who_approves(portal):
    said = text(portal.get(f"{HERE}/1/"))
    assert "Status update: first in 30 min, then every 30 min" in said
    assert "Closing message 30 min after the end" in said
    assert "Executive sponsor and legal lead approve" in said
    assert "Decision in 4 h" in said


def test_the_list_says_what_is_in_force_who_wrote_and_who_approved(portal, draft, lin):
    assert "Draft · by Grace" in text(portal.get("/portal/policy/"))
    waits = actions.submit(draft, change_note="Sooner", by=draft.author, seen=1)
    actions.approve(waits, by=lin, sha256=waits.sha256)
    said = text(portal.get("/portal/policy/"))
    assert "In force since 2 March 2026, 14:30 UTC · by Grace · approved by Lin Sooner" in said
    assert "Approved, replaced since" in said
    assert said.count("Shipped, to be read and cloned") == 4


def test_one_that_starts_later_says_when(portal, draft, lin):
    waits = actions.submit(draft, change_note="Sooner", by=draft.author, seen=1)
    actions.approve(waits, by=lin, sha256=waits.sha256, effective_from=timezone.now() + timedelta(days=1))
    assert "in force from 3 March 2026, 14:30 UTC" in text(portal.get(f"{HERE}/2/"))
    assert "In force since 1 September 2025" in text(portal.get(f"{HERE}/1/"))


def test_a_version_says_how_many_open_incidents_keep_it(portal, declare):
    declare()
    declare(title="Another")
    assert "2 open incidents keep this version" in text(portal.get(f"{HERE}/1/"))
    assert "2 open incidents" in text(portal.get("/portal/policy/"))


def test_a_profile_with_many_versions_shows_the_newest_and_leads_to_all(portal, grace):
    shipped = PolicyVersion.objects.get(profile__name="default-unified")
    for _ in range(12):
        actions.withdraw(actions.clone(shipped, into="default-unified", by=grace), reason="x", by=grace)
    page = portal.get("/portal/policy/").content.decode()
    assert "All 13 versions" in page
    assert f'"{HERE}/1/"' not in page
    assert f'"{HERE}/1/"' in portal.get("/portal/policy/?profile=default-unified").content.decode()


def test_the_download_loads_elsewhere_to_the_same_sha256(portal):
    answer = portal.get(f"{HERE}/1/export")
    assert answer["Content-Disposition"] == 'attachment; filename="default-unified-1.yaml"'
    assert (
        documents.digest(documents.read(answer.content.decode()))
        == PolicyVersion.objects.get(profile__name="default-unified").sha256
    )


def test_the_form_to_declare_shows_what_the_numbers_suggest(portal):
    said = text(portal.get("/portal/incidents/declare"))
    assert "Error rate, %: above 25: SEV1" in said
    assert "A suggestion; you decide." in said


@pytest.mark.parametrize(
    "path", ["nothing/1/", "default-unified/9/", f"default-unified/{10**30}/", "x'--/1/", "default-unified/1/edit/mood"]
)
def test_what_is_not_there_is_not_found(portal, path):
    assert portal.get(f"/portal/policy/{path}").status_code == 404


@pytest.mark.parametrize("path", ["cell/9/customers", "cell/1/aliens", "edit/nothing"])
def test_a_part_that_does_not_exist_is_not_found(portal, draft, path):
    assert portal.get(f"{HERE}/2/{path}").status_code == 404


# Editing


@pytest.mark.parametrize("part", forms.PARTS)
def test_a_part_saved_as_it_stands_changes_nothing(portal, draft, part):
    address = f"{HERE}/2/edit/{part}"
    before, entries = document(), Entry.objects.count()
    answer = portal.post(address, whole(portal, address))
    assert answer.status_code == 302
    assert (document(), Entry.objects.count()) == (before, entries)


@pytest.mark.parametrize("name", ["default-unified", "seed-000", "seed-001", "seed-002", "seed-003"])
def test_a_cell_saved_as_it_stands_changes_nothing(portal, name):
    portal.post(f"/portal/policy/{name}/1/clone", {"into": "ours"})
    version = PolicyVersion.objects.get(profile__name="ours")
    before = queries.document(version)
    for rank in before["severities"]:
        for audience in ("customers", "public", "internal", "regulators"):
            address = f"/portal/policy/ours/1/cell/{rank}/{audience}"
            assert portal.post(address, whole(portal, address)).status_code == 302
    version.refresh_from_db()
    assert (queries.document(version), version.revision) == (before, 1)


def whole(client, address) -> dict[str, object]:
    """Everything the form would send, boxes of several ticks too."""
    form = client.get(address).context["form"]
    sent = {}
    for field in form:
        value = field.value()
        if value not in (None, "", False):
            sent[field.html_name] = value
    return sent


def test_a_cell_is_edited_in_words_and_the_difference_is_shown(portal, draft):
    address = f"{HERE}/2/cell/1/customers"
    sent = whole(portal, address) | {"status_update-first": "20 min", "mode": "if_affected"}
    assert portal.post(address, sent)["Location"] == f"{HERE}/2/"
    said = text(portal.get(f"{HERE}/2/"))
    assert "SEV1, customers, status update, first: was 30 min 20 min" in said
    assert "SEV1, customers, mode: was Required If affected" in said
    assert document()["matrix"][1]["customers"]["duties"][0]["first"] == "20m"


@pytest.mark.parametrize(
    ("part", "typed_in", "read"),
    [
        ("severities", {"name_2": "Grave"}, lambda d: d["severities"][2]["name"] == "Grave"),
        ("severities", {"label_4": ""}, lambda d: 4 not in d["severities"] and 4 not in d["matrix"]),
        ("severities", {"acknowledge_1": "10 min"}, lambda d: d["severities"][1]["acknowledge"] == "10m"),
        ("approvals", {"status_update": ["legal_lead"]}, lambda d: d["approvals"]["status_update"] == ["legal_lead"]),
        ("told", {"told_4": []}, lambda d: 4 not in d["notify_on_declare"]),
        (
            "called",
            {"rank_6": "3", "condition_6": "unacknowledged", "role_6": "scribe", "after_6": "1 h"},
            lambda d: d["unacknowledged_page"][3] == {"scribe": "1h"},
        ),
        ("thresholds", {"gt_0": "30.5"}, lambda d: d["thresholds"][0]["gt"] == 30.5),
        ("resolved", {"monitoring": "1 hour"}, lambda d: d["resolve_gate"]["monitoring"] == "1h"),
        ("resolved", {"ticks": "One\n\nTwo\n"}, lambda d: d["resolve_gate"]["ticks"] == ["One", "Two"]),
        ("checkpoints", {"contained_3": "2 d"}, lambda d: d["checkpoints"][3] == {"contained": "2d"}),
        ("general", {"grace": ""}, lambda d: "grace" not in d),
        ("general", {"customer_threshold": "100 tenants"}, lambda d: d["customer_threshold"] == "100 tenants"),
    ],
)
def test_each_part_is_edited_in_its_form(portal, draft, part, typed_in, read):
    address = f"{HERE}/2/edit/{part}"
    assert portal.post(address, whole(portal, address) | typed_in).status_code == 302
    assert read(document())


@pytest.mark.parametrize(
    ("path", "typed_in", "sentence"),
    [
        ("edit/severities", {"acknowledge_1": "soon"}, "acknowledge: 'soon' is not a length of time"),
        ("edit/severities", {"label_1": LONG}, "at most 10 characters"),
        ("edit/severities", {f"label_{rank}": "" for rank in (1, 2, 3, 4)}, "Name at least one severity."),
        ("edit/severities", {"name_1": "a\0b"}, "Null characters are not allowed."),
        ("edit/called", {"rank_7": "1"}, "Fill this in too, or empty the row."),
        ("edit/called", {"after_0": "soon"}, "is not a length of time; write 30m, 24h or 3d"),
        ("edit/thresholds", {"gt_0": "much"}, "Enter a number."),
        ("edit/thresholds", {"gt_0": "-5"}, "Write a number above 0"),
        ("edit/thresholds", {"gt_0": "nan"}, "Enter a number."),
        ("edit/resolved", {"ticks": "x" * 130}, "at most 120 fit"),
        ("edit/resolved", {"ticks": "Same\nSame"}, "Same stands here twice."),
        ("edit/checkpoints", {"contained_1": "0 min"}, "Write at least one minute."),
        ("edit/general", {"holding_max_consecutive": "99"}, "less than or equal to 10"),
        ("edit/general", {"holding_max_consecutive": "0"}, "A holding message needs an every"),
        ("edit/general", {"seen": ""}, "Load the page again."),
        ("cell/1/customers", {"status_update-first": ""}, "An update every so often needs a first one; say when."),
        ("cell/1/customers", {"mode": "none"}, "Mode none owes nothing"),
        ("cell/1/customers", {"mode": ""}, "mode is missing"),
        ("cell/4/public", {"mode": "", "override": "on"}, "mode is missing"),
        ("cell/1/internal", {"internal_update-daily_once_contained": "25:00"}, "is not a time of day"),
    ],
)
def test_what_cannot_be_is_refused_and_keeps_every_word(portal, draft, path, typed_in, sentence):
    address, before = f"{HERE}/2/{path}", document()
    sent = whole(portal, address) | typed_in
    answer = portal.post(address, sent)
    html = answer.content.decode()
    assert answer.status_code == 400
    assert escape(sentence) in html
    kept = fields(html)
    lost = [name for name, value in typed_in.items() if name != "seen" and kept.get(name, "") not in (value, "")]
    lost += [name for name, value in typed_in.items() if value and name not in kept]
    assert lost == []
    assert document() == before


def test_the_second_sees_what_the_first_saved_and_loses_nothing(portal, draft, lin):
    address = f"{HERE}/2/edit/resolved"
    sent = whole(portal, address) | {"monitoring": "45 min"}
    actions.change(draft, {"grace": "5m"}, by=lin, seen=1)
    answer = portal.post(address, sent)
    html = answer.content.decode()
    assert "Meanwhile Lin saved at 14:30:00 UTC: Grace of a repeated update: 2 min → 5 min" in html
    assert fields(html)["monitoring"] == "45 min"
    again = {name: value for name, value in fields(html).items() if name != "csrfmiddlewaretoken"}
    assert portal.post(address, again).status_code == 302
    assert (document()["resolve_gate"]["monitoring"], document()["grace"]) == ("45m", "5m")


@pytest.mark.parametrize("path", ["edit/general", "cell/1/customers"])
def test_what_is_approved_offers_no_form_and_takes_none(portal, path):
    answer = portal.get(f"{HERE}/1/{path}")
    assert answer.status_code == 409
    assert "never changes; clone it to a new draft" in text(answer)
    assert portal.post(f"{HERE}/1/{path}", {"seen": "1", "grace": "9m", "mode": "required"}).status_code == 400
    assert document(1)["grace"] == "2m"


def test_script_typed_into_a_policy_is_shown_as_text(portal, draft):
    address = f"{HERE}/2/edit/severities"
    portal.post(address, whole(portal, address) | {"name_1": "<script>alert(1)"})
    page = portal.get(f"{HERE}/2/").content.decode()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page


# From draft to force


def test_a_draft_is_cloned_submitted_and_approved_through_the_pages(portal, draft, client):
    assert "A draft by Grace" in text(portal.get(f"{HERE}/2/"))
    portal.post(f"{HERE}/2/submit", {"seen": "1", "change_note": "Customers hear sooner"})
    page = portal.get(f"{HERE}/2/")
    assert "Waits for approval since 2 March 2026, 14:30 UTC; by Grace" in text(page)
    assert f'"{HERE}/2/approve"' not in page.content.decode()  # never offered to who wrote it
    own = portal.post(f"{HERE}/2/approve", typed(portal, f"{HERE}/2/approve"))
    assert "You wrote at this version; somebody else has to approve it." in text(own)
    client.force_login(people.person("Root", "admin"))
    assert f'"{HERE}/2/approve"' in client.get(f"{HERE}/2/").content.decode()
    client.post(f"{HERE}/2/approve", typed(client, f"{HERE}/2/approve"))
    assert PolicyVersion.objects.in_force(timezone.now()).number == 2
    assert "By Grace, approved by Root on 2 March 2026" in text(client.get(f"{HERE}/2/"))


@pytest.mark.parametrize(
    ("typed_in", "sentence"),
    [
        ({"effective_from": "tomorrow"}, "That is not a time. Write 2026-03-05 08:00, in UTC."),
        ({"effective_from": "2026-03-02 14:00"}, "2026-03-02 14:00 UTC has passed"),
        ({"sha256": "0" * 64}, "It changed after you opened this page"),
    ],
)
def test_an_approval_that_cannot_be_is_refused_and_keeps_what_was_typed(portal, draft, typed_in, sentence, client):
    actions.submit(draft, change_note="Sooner", by=draft.author, seen=1)
    client.force_login(people.person("Root", "admin"))
    answer = client.post(f"{HERE}/2/approve", typed(client, f"{HERE}/2/approve") | typed_in)
    assert answer.status_code == 400
    assert sentence in text(answer)
    assert fields(answer.content.decode())["effective_from"] == typed_in.get("effective_from", "")


@pytest.mark.parametrize("deed", ["withdraw", "send-back"])
def test_it_is_withdrawn_or_sent_back_with_a_reason_only(portal, draft, deed):
    actions.submit(draft, change_note="Sooner", by=draft.author, seen=1)
    assert "Say why; an auditor will ask." in text(portal.post(f"{HERE}/2/{deed}", {"reason": " "}))
    assert portal.post(f"{HERE}/2/{deed}", {"reason": "Not now"}).status_code == 302
    assert PolicyVersion.objects.get(number=2).state == {"withdraw": "withdrawn", "send-back": "draft"}[deed]


@pytest.mark.parametrize(
    ("into", "sentence"),
    [
        ("", "Say into which profile."),
        ("Our Own", "Write small letters, digits and dashes only."),
        ("OURS", "is not a name of a profile"),
        ("seed-000", "shipped to be read and never changed"),
        (LONG, "at most 50 characters"),
    ],
)
def test_a_clone_into_nowhere_is_refused(portal, into, sentence):
    answer = portal.post("/portal/policy/seed-000/1/clone", {"into": into})
    assert answer.status_code == 400
    assert sentence in text(answer)
    assert not PolicyVersion.objects.filter(approved_at=None).exists()


def test_which_profile_new_incidents_take_is_proposed_by_one_and_approved_by_another(portal, client):
    seed = PolicyProfile.objects.get(name="seed-001")
    assert portal.post("/portal/policy/default", {"profile": "", "reason": "x"}).status_code == 400
    portal.post("/portal/policy/default", {"profile": seed.pk, "reason": "As agreed"})
    page = portal.get("/portal/policy/").content.decode()
    assert 'value="approve"' not in page
    pk = DefaultChoice.objects.get().pk
    assert portal.post(f"/portal/policy/default/settle/{pk}", {"deed": "approve"}).status_code == 409
    client.force_login(people.person("Root", "admin"))
    assert 'value="approve"' in client.get("/portal/policy/").content.decode()
    client.post(f"/portal/policy/default/settle/{pk}", {"deed": "approve"})
    assert PolicyVersion.objects.in_force(timezone.now()).profile == seed
    assert "approved by Root" in text(client.get("/portal/policy/"))


def test_every_deed_of_the_pages_is_in_the_ledger(portal, draft):
    portal.post(f"{HERE}/2/submit", {"seen": "1", "change_note": "Sooner"})
    line = json.loads(Entry.objects.get(deed="policy.submitted").line)
    assert (line["by"], line["subject"], line["facts"]["change_note"]) == (
        "grace@example.com",
        "policy:default-unified",
        "Sooner",
    )


# Queries


PAGES = ["", "default", "default-unified/1/", "default-unified/2/", "seed-003/1/", "default-unified/2/edit/severities"]
PAGES += ["default-unified/2/cell/1/customers", "default-unified/2/submit", "default-unified/2/clone", "ours/1/approve"]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_costs_at_most_twelve_queries_however_much_there_is(
    portal, draft, declare, path, django_assert_max_num_queries, lin
):
    shipped = PolicyVersion.objects.get(profile__name="default-unified", number=1)
    actions.submit(actions.clone(shipped, into="ours", by=lin), change_note="Ours", by=lin, seen=1)
    for n in range(15):
        declare(title=f"Incident {n}")
        actions.clone(shipped, into=f"profile-{n}", by=lin)
    with django_assert_max_num_queries(12):
        assert portal.get(f"/portal/policy/{path}").status_code == 200
