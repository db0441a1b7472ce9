"""How staff plan maintenance and carry it on: forms, previews, clocks of the organisation."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from incidents.maintenance import clock
from irportal.ledger.models import Entry
from irportal.outbox import engine
from irportal.outbox.models import Announcement, Delivery
from irportal.refused import Refused
from statuspage import maintenance
from statuspage.models import Customer, Maintenance
from tests.pages import fields
from tests.statuspage.factories import announced

BERLIN = ZoneInfo("Europe/Berlin")
LIST, PLAN, ONE = "/portal/maintenance/", "/portal/maintenance/plan", "/portal/maintenance/MNT-1"
TIMES = [
    ("2026-03-05 22:00", datetime(2026, 3, 5, 21, tzinfo=UTC)),
    ("2026-03-05T22:00", datetime(2026, 3, 5, 21, tzinfo=UTC)),
    ("2026-07-05 22:00", datetime(2026, 7, 5, 20, tzinfo=UTC)),
    ("2026-03-05 22:00 UTC", datetime(2026, 3, 5, 22, tzinfo=UTC)),
    ("2026-03-05 22:00z", datetime(2026, 3, 5, 22, tzinfo=UTC)),
    ("2026-03-05 22:00 -05:00", datetime(2026, 3, 6, 3, tzinfo=UTC)),
    ("2026-10-25 02:30 +02:00", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
    ("2026-10-25 02:30+01:00", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
]
NO_TIMES = [
    "",
    "22:00",
    "5 March",
    "2026-02-30 10:00",
    "2026-03-05 25:00",
    "0001-01-01 00:00 +10:00",
    "٢٠٢٦-03-05 22:00",
]
READERS = {"api@r.example", "all@r.example", "ops@bank.example"}  # of the API or of everything
TWICE = (
    "On 25 October 2026 02:30 comes twice in Europe/Berlin. Which one do you mean: "
    "2026-10-25 02:30 +02:00 (00:30 UTC) or 2026-10-25 02:30 +01:00 (01:30 UTC)?"
)
NEVER = (
    "On 29 March 2026 02:30 never comes in Europe/Berlin. Do you mean "
    "2026-03-29 01:30 +01:00 (00:30 UTC) or 2026-03-29 03:30 +02:00 (01:30 UTC)?"
)


@pytest.mark.parametrize(("typed", "at"), TIMES)
def test_a_time_is_read_on_the_clock_of_the_organisation_or_the_one_named(typed, at):
    assert clock.instant(typed, BERLIN) == at


@pytest.mark.parametrize(("typed", "question"), [("2026-10-25 02:30", TWICE), ("2026-03-29 02:30", NEVER)])
def test_a_time_that_comes_twice_or_never_is_asked_about(typed, question):
    with pytest.raises(Refused) as refusal:
        clock.instant(typed, BERLIN)
    assert str(refusal.value) == question


@pytest.mark.parametrize("typed", NO_TIMES)
def test_what_is_no_time_is_refused(typed):
    with pytest.raises(Refused, match="That is not a time"):
        clock.instant(typed, BERLIN)


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"])
def test_what_a_form_shows_is_read_back_as_the_same_instant(name):
    zone, at = ZoneInfo(name), datetime(2026, 1, 1, tzinfo=UTC)
    for _ in range(365 * 24 * 2):
        assert clock.instant(clock.typed(at, zone), zone) == at
        at += timedelta(minutes=30)


# Pages


@pytest.fixture
def berlin(settings) -> None:
    settings.ORGANISATION_TIME_ZONE = "Europe/Berlin"


@pytest.fixture
def sent(organisation, freezer) -> dict[str, object]:
    """What the form to plan sends: 22:00 to 23:00 where the organisation is."""
    return {
        "title": "Database upgrade",
        "text": "We move to a larger database.",
        "starts_at": "2026-03-05 22:00",
        "ends_at": "2026-03-05 23:00",
        "components": [organisation["api"].pk],
        "leads": ["86400", "3600"],
        "starts_itself": "on",
        "ends_itself": "on",
    }


def confirm(client, address: str, given: dict[str, object]):
    """Look at the preview, then press its button."""
    html = client.post(address, given).content.decode()
    assert "This would leave" in html, html
    return client.post(address, {**given, "previewed": fields(html)["previewed"]})


@pytest.mark.django_db
def test_a_plan_is_previewed_with_its_readers_and_then_announced(client, sent, lin, berlin):
    client.force_login(lin)
    html = client.post(PLAN, sent).content.decode()
    assert "By mail to 3 addresses" in html  # api@, all@ and the bank
    assert "Thursday 5 March 2026, 21:00 to 5 March 2026, 22:00 UTC" in html
    assert "5 March 2026, 22:00 to 5 March 2026, 23:00 Europe/Berlin" in html
    assert not Maintenance.objects.exists()
    answer = client.post(PLAN, {**sent, "previewed": fields(html)["previewed"]})
    work = Maintenance.objects.get()

    assert answer["Location"] == ONE
    assert (work.starts_at, work.ends_at) == (
        datetime(2026, 3, 5, 21, tzinfo=UTC),
        datetime(2026, 3, 5, 22, tzinfo=UTC),
    )
    assert [int(row.lead.total_seconds()) for row in work.reminders.all()] == [86400, 3600]
    engine.fan_out.fan_out_pending(timezone.now())
    assert set(Delivery.objects.values_list("address", flat=True)) == {
        "api@r.example",
        "all@r.example",
        "ops@bank.example",
    }


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"starts_at": "2026-10-25 02:30"}, TWICE),
        ({"ends_at": "2026-03-29 02:30"}, NEVER),
        ({"starts_at": "tomorrow"}, "That is not a time"),
        ({"starts_at": "2026-03-01 22:00"}, "1 March 2026, 21:00 UTC has passed"),
        ({"ends_at": "2026-03-05 21:00"}, "It would end before it starts"),
        ({"title": ""}, "Say in a few words what is worked on"),
        ({"text": ""}, "Write what readers should know."),
        ({"components": []}, "Choose at least one component"),
        ({"components": ["99999"]}, "no longer there"),
        ({"components": ["x"]}, "no longer there"),
        ({"components": ["1\0"]}, "Null characters are not allowed."),
        ({"leads": ["7"]}, "Choose among the times offered"),
        ({"quiet": "on"}, "Say why nobody is told; an auditor will ask."),
        ({"why_quiet": "Boring"}, "You gave a reason to tell nobody"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_planned_is_refused_and_nothing_typed_is_lost(client, sent, lin, berlin, typed, sentence):
    client.force_login(lin)
    answer = client.post(PLAN, sent | typed)
    html = answer.content.decode()

    assert answer.status_code == 400
    assert sentence in html
    assert fields(html)["title"] == (sent | typed)["title"]
    assert fields(html)["starts_at"] == (sent | typed)["starts_at"]
    assert not Maintenance.objects.exists()


@pytest.mark.django_db
def test_what_was_changed_after_the_preview_is_previewed_again(client, sent, lin):
    client.force_login(lin)
    previewed = fields(client.post(PLAN, sent).content.decode())["previewed"]
    html = client.post(PLAN, {**sent, "title": "Another", "previewed": previewed}).content.decode()

    assert "This is not what you looked at before" in html
    assert not Maintenance.objects.exists()


@pytest.mark.django_db
def test_silence_is_shown_and_written_down(client, sent, lin):
    client.force_login(lin)
    confirm(client, PLAN, sent | {"quiet": "on", "why_quiet": "Customers agreed by phone"})
    html = client.get(ONE).content.decode()

    assert "Nobody was told: Customers agreed by phone" in html
    assert "told to nobody by mail" in html
    assert not Announcement.objects.filter(topic="maintenance").exists()


@pytest.mark.django_db
def test_from_plan_to_end_by_forms(client, sent, lin, organisation, freezer):
    client.force_login(lin)
    confirm(client, PLAN, sent)
    later = fields(client.get(f"{ONE}/change").content.decode()) | {"components": [organisation["api"].pk]}
    later |= {"leads": ["3600"], "starts_at": "2026-03-06 22:00", "ends_at": "2026-03-06 23:00"}
    for name, given in (
        ("change", later),
        ("start", {}),
        ("tell", {"status": "verifying", "text": "Nearly there."}),
        ("extend", {"ends_at": "2026-03-06 12:00"}),
        ("finish", {"text": "All went well."}),
    ):
        address = f"{ONE}/{name}"
        seen = fields(client.get(address).content.decode())["seen"]
        assert confirm(client, address, {**given, "seen": seen}).status_code == 302, name
    work = Maintenance.objects.get()
    deeds = Entry.objects.filter(subject="MNT-1").order_by("n").values_list("deed", flat=True)

    assert work.status == "completed"
    assert [deed.partition(".")[2] for deed in deeds] == [
        "announced",
        "moved",
        "started",
        "told",
        "extended",
        "finished",
    ]
    assert "All went well." in client.get(ONE).content.decode()
    assert client.get(LIST).status_code == 200


@pytest.mark.django_db
def test_cancelling_tells_whom_the_plan_was_told(client, sent, lin, organisation):
    client.force_login(lin)
    confirm(client, PLAN, sent)
    engine.fan_out.fan_out_pending(timezone.now())
    Customer.objects.get().components.set([organisation["dashboard"]])
    seen = fields(client.get(f"{ONE}/cancel").content.decode())["seen"]
    html = client.post(f"{ONE}/cancel", {"seen": seen}).content.decode()
    confirm(client, f"{ONE}/cancel", {"seen": seen})
    engine.fan_out.fan_out_pending(timezone.now())
    addresses = Delivery.objects.filter(announcement__subject__contains="cancelled").values_list("address", flat=True)

    assert "By mail to 3 addresses" in html
    assert set(addresses) == READERS


@pytest.mark.django_db
def test_a_customer_who_is_gone_is_told_nothing_more(client, sent, lin):
    client.force_login(lin)
    confirm(client, PLAN, sent)
    engine.fan_out.fan_out_pending(timezone.now())
    Customer.objects.update(is_active=False)
    maintenance.cancel(Maintenance.objects.get(), by=lin)
    engine.fan_out.fan_out_pending(timezone.now())

    gone = Delivery.objects.filter(announcement__subject__contains="cancelled", address="ops@bank.example")
    assert not gone.exists()


@pytest.mark.django_db
def test_whoever_is_slower_sees_why_and_keeps_every_word(client, lin, grace, organisation, freezer):
    work = announced(organisation["api"])
    client.force_login(lin)
    seen = fields(client.get(f"{ONE}/cancel").content.decode())["seen"]
    maintenance.tell_more(work, status="scheduled", text="It will be quick.", by=grace)
    answer = client.post(f"{ONE}/cancel", {"seen": seen, "text": "The parts are missing."})
    html = answer.content.decode()

    assert answer.status_code == 400
    assert "It was changed meanwhile: scheduled since 14:30 UTC" in html
    assert fields(html)["text"] == "The parts are missing."
    assert confirm(client, f"{ONE}/cancel", {"seen": fields(html)["seen"], "text": "x"}).status_code == 302


@pytest.mark.django_db
def test_lists_ask_the_database_the_same_number_of_times_however_much_there_is(
    client, lin, organisation, freezer, django_assert_max_num_queries
):
    client.force_login(lin)
    for number in range(12):
        announced(organisation["api"], organisation["dashboard"], title=f"Work {number}")
    with django_assert_max_num_queries(16):
        client.get(LIST)
    with django_assert_max_num_queries(18):
        client.get(ONE)


@pytest.mark.django_db
def test_a_correction_is_previewed_and_published_even_when_it_is_over(client, organisation, lin):
    work = announced(organisation["api"])
    maintenance.cancel(work, by=lin)
    client.force_login(lin)
    assert f'href="{ONE}/correct"' in client.get(ONE).content.decode()
    given = {"seen": work.updates.all()[0].pk, "text": ""}
    assert "Write what is right" in client.post(f"{ONE}/correct", given).content.decode()

    answer = confirm(client, f"{ONE}/correct", given | {"text": "It was the other database."})
    assert answer["Location"] == ONE
    assert "Cancelled, correction" in client.get(ONE).content.decode()
    assert work.updates.all()[0].kind == "correction"
