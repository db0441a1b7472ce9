import json
import re
from datetime import timedelta

import pytest
from django.contrib.staticfiles import finders
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from statuspage import timetable
from statuspage.models import Component, Notice
from tests.statuspage.factories import announced, component, past_incident, publish

pytestmark = pytest.mark.django_db

PAGES = ["/", "/history", "/uptime", "/api/v2/status.json", "/api/v2/summary.json", "/api/v2/components.json"]
PAGES += ["/api/v2/incidents.json", "/api/v2/incidents/unresolved.json"]
PAGES += [f"/api/v2/scheduled-maintenances{part}.json" for part in ("", "/upcoming", "/active")]


def words(answer) -> str:
    """The text of a page with its white space folded."""
    text = " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())
    return re.sub(r" ([.,:;])", r"\1", text)


def test_a_calm_page_says_so(client):
    component("Agent API", group="Platform")
    text = words(client.get("/"))

    assert "All systems operational" in text
    assert "Agent API Operational" in text


def test_an_open_incident_stands_on_the_page_with_state_words_and_promise(client, freezer):
    api, board = component("Agent API", group="Platform"), component("Dashboard", group="Platform")
    publish("investigating", (api, "major_outage"), next_update_by=timezone.now())
    publish("identified", (api, "major_outage"), next_update_by=timezone.now() + timedelta(minutes=20))
    text = words(client.get("/"))

    assert "Major outage One of two components is down. Last change: 14:30 UTC" in text
    assert "Next update by 14:50 UTC" in text
    assert "Agent API: major outage" in text
    assert "Dashboard Operational" in text
    assert text.index("Identified Every") < text.index("Investigating Every")
    assert board.name


def test_a_promise_that_passed_is_called_late(client, freezer):
    publish("investigating", next_update_by=timezone.now() + timedelta(minutes=5))
    freezer.shift(timedelta(minutes=7))

    assert "An update was due at 14:35 UTC; it is late." in words(client.get("/"))


def test_the_title_of_the_page_says_the_state(client):
    publish("investigating")

    assert "<title>Major outage: Agent API unavailable · AgentGuard status</title>" in client.get("/").content.decode()


def test_a_holding_message_is_never_mistaken_for_news(client):
    publish("investigating", kind="holding")

    assert "holding message, nothing new" in words(client.get("/"))


def test_stages_that_were_skipped_are_not_shown_as_done(client):
    publish("investigating")
    code = publish("resolved").notice.code
    stages = client.get(f"/incidents/{code}").content.decode()

    assert 'class="done">Investigating' in stages
    assert 'class="done">Monitoring' not in stages
    assert 'aria-current="step">Resolved' in stages


# covers R001-42
@pytest.mark.parametrize("status", ["investigating", "identified", "monitoring", "resolved"])
def test_each_state_is_named_with_its_text_and_the_time_of_the_last_update(client, freezer, status):
    code = publish(status, body=f"What {status} means.").notice.code
    answer = client.get(f"/incidents/{code}")

    assert f"{status.capitalize()}. Last updated: 14:30 UTC" in words(answer)
    assert f"What {status} means." in words(answer)
    assert f'aria-current="step">{status.capitalize()}' in answer.content.decode()


def test_past_incidents_stand_by_day_with_the_days_without_any(client, freezer):
    Component.objects.update(created_at=timezone.now())
    Component.objects.create(name="Agent API", created_at=timezone.now() - timedelta(days=8))
    past_incident("INC-40", title="Slow answers", started_at=timezone.now() - timedelta(days=4))
    text = words(client.get("/")).replace("\xa0", " ")

    assert "March 2026 1 to 2 No incidents February 2026 27 to 28 No incidents Thu 26 Slow answers" in text
    assert "Impact: minor · 14:30 to 15:04 UTC · 34 min · Resolved 22 to 25 No incidents" in text


def test_an_incident_keeps_its_address_and_can_be_found_by_its_number(client):
    notice = publish("investigating").notice
    publish("resolved", title="Agent API was unavailable")

    assert client.get("/i/INC-42")["Location"] == f"/incidents/{notice.code}"
    assert "Agent API was unavailable" in words(client.get(f"/incidents/{notice.code}"))


def test_history_turns_by_month_and_ends_where_the_record_ends(client, freezer):
    past_incident("INC-40", title="Slow answers", started_at=timezone.now() - timedelta(days=40))

    assert 'href="/history/2026-02"' in client.get("/history").content.decode()
    assert "Slow answers" in words(client.get("/history/2026-01"))
    for month in ("2025-12", "2026-04", "2026-13", f"{10**20}-01"):
        assert client.get(f"/history/{month}").status_code == 404


@pytest.mark.parametrize(
    "address", ["/nothing", "/incidents/abcdefghijkl", "/i/INC-1", "/api/v2/nothing.json", "/api/v2/status"]
)
def test_what_does_not_exist_is_a_true_404_in_the_pages_own_look(client, address):
    answer = client.get(address)

    assert answer.status_code == 404
    assert "There is no such page" in words(answer)
    assert not answer.cookies


@pytest.mark.parametrize("address", PAGES)
def test_public_documents_set_no_cookie_and_do_not_vary_by_one(client, lin, address):
    publish("investigating")
    client.force_login(lin)
    answer = client.get(address)

    assert answer.status_code == 200
    assert not answer.cookies
    assert "Cookie" not in answer.get("Vary", "")
    assert answer["Cache-Control"] == "public, max-age=0, s-maxage=15, stale-if-error=86400"


@pytest.mark.parametrize("address", PAGES)
def test_an_unchanged_document_is_not_sent_twice(client, freezer, address):
    publish("investigating")
    first = client.get(address)

    assert client.get(address, headers={"If-None-Match": first["ETag"]}).status_code == 304
    assert client.get(address, headers={"If-Modified-Since": first["Last-Modified"]}).status_code == 304


@pytest.mark.parametrize("address", ["/", "/api/v2/summary.json", "/api/v2/incidents.json"])
def test_a_changed_document_is_sent_at_once(client, freezer, address):
    publish("investigating")
    first = client.get(address)
    freezer.shift(timedelta(seconds=2))
    publish("identified")

    assert client.get(address, headers={"If-None-Match": first["ETag"]}).status_code == 200
    assert client.get(address, headers={"If-Modified-Since": first["Last-Modified"]}).status_code == 200


@pytest.mark.parametrize("address", PAGES)
def test_head_answers_like_get_without_a_body_and_nothing_else_is_allowed(client, address):
    answer = client.head(address)

    assert answer.status_code == 200
    assert answer.content == b""
    assert client.post(address).status_code == 405


@pytest.mark.parametrize("address", PAGES)
def test_other_sites_may_read_the_json_only(client, address):
    assert client.get(address).get("Access-Control-Allow-Origin") == ("*" if "api" in address else None)


def test_the_past_says_its_times_for_people_and_for_the_script_that_adds_the_visitors_own(client, freezer):
    began = timezone.now() - timedelta(hours=5)
    code = past_incident("INC-1", started_at=began).notice.code
    publish("investigating", ref="INC-2", started_at=began)
    work = announced(starts_at=timezone.now() + timedelta(minutes=1))
    freezer.shift(timedelta(hours=3))
    timetable.run_due(timezone.now())
    history = client.get("/history").content.decode()
    iso = "%Y-%m-%dT%H:%M:%SZ"

    over = f'<time datetime="{began:{iso}}" data-until="{began + timedelta(minutes=34):{iso}}">09:30 to 10:04 UTC'
    assert over in history
    assert f'<time datetime="{began:{iso}}">since 09:30 UTC</time>' in history
    done = f'<time datetime="{work.starts_at:{iso}}" data-until="{work.ends_at:{iso}}">'
    assert f"{done}14:31 to 16:31 UTC" in history
    assert over.replace(">09", ">2 March, 09") in client.get(f"/incidents/{code}").content.decode()
    assert f"{done}2 March, 14:31 to 16:31 UTC" in client.get(work.get_absolute_url()).content.decode()


def test_script_in_any_public_text_stays_text(client):
    evil = "<script>alert(1)</script>"
    api = component(f"API {evil}", group=f"G {evil}")
    Component.objects.update(description=evil)
    code = publish(
        "investigating", (api, "major_outage"), title=evil, body=f"{evil} [x](javascript:alert(1))"
    ).notice.code
    past_incident("INC-1", title=evil, body=evil, started_at=timezone.now() - timedelta(hours=3))

    for address in ("/", f"/incidents/{code}", "/history"):
        page = (
            client.get(address).content.decode().replace('<script src="/static/js/local-time.js" defer></script>', "")
        )
        assert "<script" not in page
        assert 'href="javascript' not in page
        assert " style=" not in page


def test_addresses_never_come_from_the_host_header(client, settings):
    settings.PUBLIC_BASE_URL = "https://status.example"
    publish("investigating")

    for address in ["/", "/history", "/api/v2/summary.json"]:
        answer = client.get(address, headers={"host": "localhost"}).content.decode()
        assert "localhost" not in answer
        assert "https://status.example" in answer


@pytest.mark.parametrize("address", PAGES)
def test_a_document_costs_as_many_queries_with_many_rows_as_with_few(client, address):
    def fill(number: int) -> None:
        for n in range(number):
            part = component(f"Part {n}", group=f"Group {n % 3}")
            publish("investigating", (part, "partial_outage"), ref=f"INC-{Notice.objects.count()}")
            publish("identified", (part, "partial_outage"), ref=f"INC-{Notice.objects.count() - 1}")
            past_incident(f"INC-{Notice.objects.count()}", started_at=timezone.now() - timedelta(days=n))

    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert client.get(address).status_code == 200
        return len(asked)

    fill(2)
    few = queries()
    fill(6)
    assert queries() == few <= 23


def test_the_stylesheet_stays_small():
    with open(finders.find("css/status.css"), "rb") as file:
        assert len(file.read()) < 14_000


def test_maintenance_lists_are_there_and_empty(client):
    for part in ("", "/upcoming", "/active"):
        assert (
            json.loads(client.get(f"/api/v2/scheduled-maintenances{part}.json").content)["scheduled_maintenances"] == []
        )
