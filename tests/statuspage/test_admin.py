import re

import pytest
from django.utils import timezone

from irportal.ledger.models import Entry
from irportal.outbox.models import Suppression
from statuspage.models import Component, Subscriber
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


def test_a_group_somebody_chose_is_kept_with_a_reason(settings_page):
    group = component("Agent API", group="Core").group
    subscriber("ann@reader.example", group)
    page = settings_page.get(f"/admin/statuspage/componentgroup/{group.pk}/delete/").content.decode()

    assert "1 components stand in it and 1 subscribers chose it" in page


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("state=told", {"all@r.example", "core@r.example", "one@r.example"}),
        ("state=left", {"gone@r.example"}),
        ("state=unconfirmed", {"new@r.example"}),
        ("is_standing__exact=0", {"one@r.example"}),
        ("floor__exact=major", {"core@r.example"}),
        ("language__exact=ja", {"one@r.example"}),
        ("groups__id__exact={group}", {"core@r.example"}),
    ],
)
def test_the_list_of_subscribers_is_narrowed_by_what_they_chose(settings_page, query, shown):
    group = component("Agent API", group="Core").group
    now = timezone.now()
    subscriber("all@r.example")
    subscriber("core@r.example", group, floor="major")
    subscriber("one@r.example", is_standing=False, language="ja").followed.set([publish().notice])
    subscriber("gone@r.example", left_at=now)
    subscriber("new@r.example", confirmed_at=None)
    page = settings_page.get(f"/admin/statuspage/subscriber/?{query.format(group=group.pk)}").content.decode()

    assert set(re.findall(r"\w+@r\.example", page)) == shown


def test_the_list_says_what_each_hears_of_and_takes_as_many_questions_for_thirty_as_for_one(
    settings_page, django_assert_max_num_queries
):
    group = component("Agent API", group="Core").group
    for number in range(30):
        subscriber(f"r{number}@reader.example", group).followed.set([publish().notice])
    with django_assert_max_num_queries(14):
        page = settings_page.get("/admin/statuspage/subscriber/").content.decode()
    assert "Core, INC-42" in page


def test_staff_can_put_an_end_to_a_subscription_on_record(settings_page, root):
    ann, bob = subscriber("ann@reader.example"), subscriber("bob@reader.example")
    told = {"action": "put_an_end", "_selected_action": [ann.pk]}
    for _ in range(2):
        settings_page.post("/admin/statuspage/subscriber/", told, follow=True)

    assert list(Subscriber.objects.active()) == [bob]
    entry = Entry.objects.get(deed="subscriber.ended")
    assert (entry.subject, root.email in entry.line, "ann@" in entry.line) == (f"subscriber:{ann.pk}", True, False)
    assert Suppression.objects.get().target == f"subscriber:{ann.pk}"
