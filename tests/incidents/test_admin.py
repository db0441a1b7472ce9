"""Settings data: who may change what, what is written down, and what nobody may change."""

import pytest
from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import ProtectedError

from incidents.lifecycle.models import RoleContact
from incidents.policy import actions as policy
from incidents.policy.models import PolicyProfile, PolicyVersion
from incidents.runbooks.models import ServiceCommand, ServiceLink
from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from irportal.ledger.models import Entry
from irportal.outbox.models import Delivery
from statuspage.models import Component, Customer
from tests import people
from tests.factories import deliveries

pytestmark = pytest.mark.django_db
PEOPLE = "/admin/accounts/user/"
VERSIONS = "/admin/incidents/policyversion/"


@pytest.fixture
def settings_page(client, root):
    client.force_login(root)
    return client


def person(who: User, **given) -> dict[str, object]:
    """What the form of a person would send if nothing were touched."""
    kept = {"name": who.name, "email": who.email, "zone": who.zone, "is_active": "on"}
    return kept | {"groups": list(who.groups.values_list("pk", flat=True))} | given


def group(name: str) -> int:
    return Group.objects.get(name=name).pk


@pytest.mark.parametrize("role", ["viewer", "responder", "commander", "publisher"])
def test_only_an_admin_may_open_the_settings(client, roles, role):
    client.force_login(people.person("Someone", role))
    assert client.get("/admin/")["Location"] == "/admin/login/?next=/admin/"
    assert client.get("/admin/login/").status_code in (302, 403)


@pytest.mark.parametrize("model", sorted(admin.site._registry, key=lambda model: model._meta.label))
def test_every_settings_list_opens(settings_page, organisation, model):
    deliveries()
    address = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    answer = settings_page.get(address, follow=True)  # what has one row leads to its form
    assert answer.status_code == 200
    assert answer.request["PATH_INFO"].startswith(address)


def test_what_a_role_may_do_is_no_setting():
    assert not {"Group", "EmailAddress", "Permission"} & {model.__name__ for model in admin.site._registry}


# Customers and the contact list


def test_a_customer_is_added_changed_and_deleted_and_each_is_recorded_by_id(settings_page, organisation):
    facts = {"name": "Lumen", "contact_email": "ops@lumen.example", "components": [organisation["api"].pk]}
    settings_page.post("/admin/statuspage/customer/add/", facts | {"is_active": "on"})
    lumen = Customer.objects.get(name="Lumen")
    address = f"/admin/statuspage/customer/{lumen.pk}"
    settings_page.post(f"{address}/change/", facts | {"contact_email": "sre@lumen.example"})
    settings_page.post(f"{address}/delete/", {"post": "yes"})

    entries = list(Entry.objects.filter(deed="customer.changed"))
    assert {entry.subject for entry in entries} == {f"customer:{lumen.pk}"}
    assert [word for entry in entries for word in ("added", "changed", "deleted") if f'"what":"{word}"' in entry.line]
    assert not any("lumen.example" in entry.line or "Lumen" in entry.line for entry in entries)
    assert not Customer.objects.filter(name="Lumen").exists()
    assert ledger.verify() == []


def test_a_customer_with_a_bad_address_is_refused_and_nothing_is_recorded(settings_page):
    page = settings_page.post("/admin/statuspage/customer/add/", {"name": "Lumen", "contact_email": "ops@\r\nBcc: x"})

    assert "Enter a valid email address" in page.content.decode()
    assert not Entry.objects.filter(deed="customer.changed").exists()


def test_who_fills_a_role_is_set_and_recorded_without_a_phone_number(settings_page, vera):
    facts = {"role": "legal_lead", "person": vera.pk, "phone": "+49 30 1234567", "pager": ""}
    settings_page.post("/admin/incidents/rolecontact/add/", facts)

    entry = Entry.objects.get(deed="role_contact.changed")
    assert RoleContact.objects.get().person == vera
    assert entry.subject == "role:legal_lead"
    assert f'"person":"user:{vera.pk}"' in entry.line
    assert "1234567" not in entry.line


def test_a_person_on_the_contact_list_cannot_vanish(vera):
    RoleContact.objects.create(role="legal_lead", person=vera)
    with pytest.raises(ProtectedError):
        vera.delete()


# What runbooks ask of a service: covers R001-45, R001-46


def test_a_command_and_a_link_of_a_service_are_set_and_recorded_without_their_text(settings_page, organisation):
    api = organisation["api"]
    command = {"component": api.pk, "name": "restart", "text": "deployctl restart api --token s3cr3t"}
    settings_page.post("/admin/incidents/servicecommand/add/", command)
    settings_page.post(
        "/admin/incidents/servicelink/add/", {"name": "errors", "url": "https://errors.example/?key=s3cr3t"}
    )

    assert ServiceCommand.objects.get(component=api).text == command["text"]
    assert ServiceLink.objects.get(component=None).url == "https://errors.example/?key=s3cr3t"
    entries = Entry.objects.filter(deed__in=["service_command.changed", "service_link.changed"])
    assert [entry.subject for entry in entries] == [f"service:{api.code}", "service:all"]
    assert not any("s3cr3t" in entry.line for entry in entries)


@pytest.mark.parametrize(
    ("address", "facts", "sentence"),
    [
        ("servicecommand", {"name": "Restart it", "text": "x"}, "Write it as runbooks do: lower case, digits and _."),
        ("servicecommand", {"name": "restart", "text": ""}, "This field is required."),
        ("servicelink", {"name": "errors", "url": "javascript:alert(1)"}, "Enter a valid URL."),
    ],
)
def test_a_command_or_link_that_cannot_be_is_refused(settings_page, address, facts, sentence):
    page = settings_page.post(f"/admin/incidents/{address}/add/", facts)
    assert sentence in page.content.decode()
    assert not ServiceCommand.objects.exists()
    assert not ServiceLink.objects.exists()


def test_a_second_command_of_the_same_name_for_everything_is_refused(settings_page):
    for _ in range(2):
        page = settings_page.post("/admin/incidents/servicecommand/add/", {"name": "restart", "text": "x"})
    assert "There is one of this name for the organisation already; change that one." in page.content.decode()
    assert ServiceCommand.objects.count() == 1


# People


def test_roles_are_changed_and_both_states_recorded(settings_page, ada):
    page = settings_page.post(f"{PEOPLE}{ada.pk}/change/", person(ada, groups=[group("commander")]))

    assert page.status_code == 302
    assert [g.name for g in ada.groups.all()] == ["commander"]
    entry = Entry.objects.get(deed="person.changed")
    assert entry.subject == f"user:{ada.pk}"
    assert '"roles":["commander"],"roles_before":["viewer"]' in entry.line


def test_making_somebody_admin_opens_the_settings_and_unmaking_closes_them(settings_page, ada):
    settings_page.post(f"{PEOPLE}{ada.pk}/change/", person(ada, groups=[group("admin")]))
    assert User.objects.get(pk=ada.pk).is_staff
    settings_page.post(f"{PEOPLE}{ada.pk}/change/", person(ada, groups=[group("viewer")]))
    assert not User.objects.get(pk=ada.pk).is_staff


def test_a_name_and_an_address_are_changed_without_being_written_into_the_ledger(settings_page, ada):
    settings_page.post(f"{PEOPLE}{ada.pk}/change/", person(ada, name="Ada L.", email="new@example.com"))

    assert User.objects.get(pk=ada.pk).email == "new@example.com"
    entry = Entry.objects.get(deed="person.changed")
    assert '"email":"changed"' in entry.line
    assert "new@example.com" not in entry.line


def test_an_address_that_is_no_longer_theirs_signs_nobody_in(settings_page, ada):
    EmailAddress.objects.create(user=ada, email=ada.email, verified=True, primary=True)
    settings_page.post(f"{PEOPLE}{ada.pk}/change/", person(ada, email="new@example.com"))

    assert not EmailAddress.objects.filter(user=ada, email="ada@example.com").exists()


def test_who_is_made_inactive_is_out_at_once(settings_page, client, ada, django_user_model):
    other = type(client)()
    other.force_login(ada)
    assert other.get("/portal/").status_code == 200
    facts = person(ada)
    del facts["is_active"]
    settings_page.post(f"{PEOPLE}{ada.pk}/change/", facts)

    assert other.get("/portal/").status_code == 302


def test_the_last_admin_cannot_shut_the_settings_for_everybody(settings_page, root):
    page = settings_page.post(f"{PEOPLE}{root.pk}/change/", person(root, groups=[group("viewer")]))

    assert "make somebody else admin first" in page.content.decode()
    assert [g.name for g in root.groups.all()] == ["admin"]


def test_rights_and_passwords_cannot_be_edited_even_by_a_forged_form(settings_page, ada):
    before = ada.password
    forged = person(ada, is_superuser="on", is_staff="on", password="x", user_permissions=["1", "2"])
    settings_page.post(f"{PEOPLE}{ada.pk}/change/", forged)

    ada = User.objects.get(pk=ada.pk)
    assert (ada.is_superuser, ada.is_staff, ada.password) == (False, False, before)
    assert not ada.user_permissions.exists()


def test_somebody_above_the_roles_is_not_edited_by_an_admin(settings_page, ada):
    User.objects.filter(pk=ada.pk).update(is_superuser=True)
    assert settings_page.post(f"{PEOPLE}{ada.pk}/change/", person(ada, name="X")).status_code == 403


def test_people_are_created_by_the_command_and_the_list_says_so(settings_page, ada):
    assert "manage.py staff EMAIL --role ROLE" in settings_page.get(PEOPLE).content.decode()
    assert settings_page.get(f"{PEOPLE}add/").status_code == 403
    assert settings_page.post(f"{PEOPLE}{ada.pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_bad_time_zone_is_refused(settings_page, ada):
    page = settings_page.post(f"{PEOPLE}{ada.pk}/change/", person(ada, zone="Mars/Olympus"))
    assert "Mars/Olympus is not a time zone" in page.content.decode()


# Policies and the taxonomy


@pytest.fixture
def version(db) -> PolicyVersion:
    return policy.load_shipped()


def test_a_version_can_be_read_here_and_in_no_way_changed_whatever_its_state(settings_page, version, root):
    draft = policy.clone(version, into="default-unified", by=root)
    for one in (version, draft):
        page = settings_page.get(f"{VERSIONS}{one.pk}/change/").content.decode()
        assert "status_update" in page
        assert "<select" not in page
        assert 'type="number"' not in page
        for deed in (f"{one.pk}/change/", f"{one.pk}/delete/", "add/"):
            assert settings_page.post(f"{VERSIONS}{deed}", {"grace_seconds": 999}).status_code == 403
    assert set(PolicyVersion.objects.values_list("grace_seconds", flat=True)) == {120}


@pytest.mark.parametrize("address", ["incidenttype/T01", "policyprofile/1"])
def test_profiles_and_the_taxonomy_are_read_only(settings_page, version, address):
    address = address.replace("/1", f"/{PolicyProfile.objects.get().pk}")
    assert settings_page.get(f"/admin/incidents/{address}/change/").status_code == 200
    for deed in ("change", "delete"):
        assert settings_page.post(f"/admin/incidents/{address}/{deed}/", {"post": "yes"}).status_code == 403


# The record and the post


def test_the_record_and_the_deliveries_can_only_be_looked_at(settings_page):
    [delivery] = deliveries("ann@reader.example")
    before = Entry.objects.count()
    for address in ("ledger/entry/0", f"outbox/delivery/{delivery.pk}"):
        assert settings_page.get(f"/admin/{address}/change/").status_code == 200
        assert settings_page.post(f"/admin/{address}/change/", {}).status_code == 403
        assert settings_page.post(f"/admin/{address}/delete/", {"post": "yes"}).status_code == 403
    assert (Entry.objects.count(), Delivery.objects.count()) == (before, 1)


def test_settings_pages_use_no_widget_that_needs_a_script(settings_page, organisation):
    bank = Customer.objects.get()
    page = settings_page.get(f"/admin/statuspage/customer/{bank.pk}/change/").content.decode()
    assert 'type="checkbox" name="components"' in page
    assert Component.objects.count() == page.count('name="components"')
