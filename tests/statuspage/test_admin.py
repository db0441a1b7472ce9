import pytest

from irportal.ledger.models import Entry
from statuspage.models import Component
from tests.statuspage.factories import component, publish, subscriber

pytestmark = pytest.mark.django_db


@pytest.fixture
def settings_page(client, root):
    client.force_login(root)
    return client


def test_adding_and_renaming_a_component_is_recorded(settings_page):
    facts = {"name": "Agent API", "group": "", "description": "", "position": "1"}
    settings_page.post("/admin/statuspage/component/add/", facts)
    api = Component.objects.get()
    settings_page.post(f"/admin/statuspage/component/{api.pk}/change/", facts | {"name": "API"})

    assert Component.objects.get().name == "API"
    assert [entry.subject for entry in Entry.objects.filter(deed="component.changed")] == [f"component:{api.code}"] * 2


def test_a_component_in_the_history_is_kept_with_a_reason(settings_page):
    api = component("Agent API")
    publish("investigating", (api, "major_outage"))
    page = settings_page.get(f"/admin/statuspage/component/{api.pk}/delete/").content.decode()
    settings_page.post(f"/admin/statuspage/component/{api.pk}/delete/", {"post": "yes"})

    assert "Agent API stands in 1 published incidents" in page
    assert Component.objects.filter(pk=api.pk).exists()


def test_an_unused_component_can_be_deleted_and_that_is_recorded(settings_page):
    api = component("Agent API")
    settings_page.post(f"/admin/statuspage/component/{api.pk}/delete/", {"post": "yes"})

    assert not Component.objects.exists()
    assert '"what":"deleted"' in Entry.objects.get(deed="component.changed").line


def test_subscribers_can_be_seen_and_not_changed(settings_page):
    ann = subscriber("ann@reader.example")

    assert "ann@reader.example" in settings_page.get("/admin/statuspage/subscriber/").content.decode()
    assert settings_page.post(f"/admin/statuspage/subscriber/{ann.pk}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("kind", ["component", "componentgroup"])
def test_the_settings_lists_open(settings_page, kind):
    component("Agent API", group="Core")

    assert settings_page.get(f"/admin/statuspage/{kind}/").status_code == 200
