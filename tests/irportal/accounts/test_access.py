"""Staff get in by invitation only: roles, the one-time link, sign-in and its limits."""

import re
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.urls import reverse

from irportal.accounts import actions
from irportal.accounts.models import User
from irportal.accounts.roles import ROLES
from irportal.ledger.models import Entry
from irportal.outbox import engine
from irportal.outbox.models import Announcement
from irportal.refused import Refused
from tests.people import PASSWORD

pytestmark = pytest.mark.django_db
NEW = "a much longer pass phrase"


def sign_in(client, email: str, password: str):
    return client.post(reverse("account_login"), {"login": email, "password": password})


def is_in(client) -> bool:
    return "_auth_user_id" in client.session


def invite(capsys, email="new@example.com", role="responder") -> str:
    """The path of the one-time link that `manage.py staff` prints."""
    call_command("staff", email, role=role)
    return urlsplit(capsys.readouterr().out.split()[-1]).path


def choose_password(client, path: str, password: str = NEW):
    page = client.get(path, follow=True)
    where = page.redirect_chain[-1][0] if page.redirect_chain else path
    return client.post(where, {"password1": password, "password2": password})


@pytest.mark.parametrize(
    ("role", "can", "cannot"),
    [
        ("viewer", "incidents.view_incident", "incidents.declare_incident"),
        ("responder", "incidents.declare_incident", "incidents.command_incident"),
        ("commander", "incidents.command_incident", "incidents.publish_message"),
        ("publisher", "incidents.publish_message", "incidents.command_incident"),
        ("admin", "statuspage.change_component", "ledger.change_entry"),
    ],
)
def test_each_role_may_do_its_part_and_no_more(roles, role, can, cannot):
    person = actions.give_access("pat@example.com", role=role)

    assert (person.has_perm(can), person.has_perm(cannot)) == (True, False)


def test_roles_hold_exactly_what_the_table_says_even_after_somebody_changed_them(roles):
    group = Group.objects.get(name="viewer")
    group.permissions.set(Group.objects.get(name="admin").permissions.all())
    actions.sync_roles()

    held = {f"{p.content_type.app_label}.{p.codename}" for p in group.permissions.select_related("content_type")}
    assert held == ROLES["viewer"]


def test_a_person_has_one_role(roles):
    actions.give_access("pat@example.com", role="admin")
    person = actions.give_access("PAT@example.com", role="viewer")

    assert [group.name for group in person.groups.all()] == ["viewer"]
    assert (person.is_staff, User.objects.count()) == (False, 1)


def test_an_unknown_role_is_refused_with_the_roles_there_are(roles):
    with pytest.raises(Refused, match=r"boss is not a role.* viewer, responder, commander, publisher, admin"):
        actions.give_access("pat@example.com", role="boss")


def test_the_command_says_the_same_and_creates_nobody(roles):
    with pytest.raises(CommandError, match="boss is not a role"):
        call_command("staff", "pat@example.com", role="boss")
    assert not User.objects.exists()


@pytest.mark.parametrize("address", ["pat", "pat@", "a@b.example, c@d.example", "pat@example.com\nBcc: x@y.example"])
def test_a_bad_address_is_explained_and_creates_nobody(roles, address):
    with pytest.raises(CommandError, match="valid email"):
        call_command("staff", address, role="viewer")
    assert not User.objects.exists()


def test_an_unknown_time_zone_is_refused(ada):
    ada.zone = "Mars/Olympus"

    with pytest.raises(ValidationError, match="Mars/Olympus is not a time zone"):
        ada.full_clean()


def test_giving_access_is_recorded_without_the_address(roles):
    actions.give_access("pat@example.com", role="viewer")

    entry = Entry.objects.get(deed="person.access_given")
    assert "pat@example.com" not in entry.line


def test_the_one_time_link_lets_a_person_choose_a_password_and_signs_them_in(client, roles, capsys):
    choose_password(client, invite(capsys))

    assert is_in(client)


def test_the_one_time_link_works_once(client, roles, capsys):
    path = invite(capsys)
    choose_password(client, path)
    client.post(reverse("account_logout"))

    assert "no longer works" in client.get(path, follow=True).content.decode()
    assert not is_in(client)


def test_nobody_signs_in_before_the_link_was_used(client, roles, capsys):
    invite(capsys)
    for password in ("", "None", PASSWORD):
        sign_in(client, "new@example.com", password)

    assert not is_in(client)


def test_a_new_link_ends_the_old_password(client, ada, capsys):
    invite(capsys, email=ada.email, role="viewer")
    sign_in(client, ada.email, PASSWORD)

    assert not is_in(client)


@pytest.mark.parametrize("typed", ["ada@example.com", "Ada@Example.com"])
def test_staff_sign_in_with_e_mail_and_password(client, ada, typed):
    sign_in(client, typed, PASSWORD)

    assert is_in(client)


def test_a_person_who_was_switched_off_stays_out(client, ada):
    User.objects.update(is_active=False)
    sign_in(client, ada.email, PASSWORD)

    assert not is_in(client)


def test_nobody_can_sign_up(client, db):
    client.post(reverse("account_signup"), {"email": "mallory@example.com", "password1": NEW, "password2": NEW})

    assert not User.objects.exists()


def test_after_five_wrong_passwords_the_right_one_must_wait(client, ada):
    for _ in range(5):
        sign_in(client, ada.email, "wrong")
    answer = sign_in(client, ada.email, PASSWORD)

    assert not is_in(client)
    assert "Too many failed login attempts" in answer.content.decode()


def test_a_wrong_password_and_an_unknown_address_are_answered_alike(client, ada):
    known, unknown = (sign_in(client, email, "wrong") for email in (ada.email, "eve@example.com"))

    def said(page):
        return re.sub(r'(csrfmiddlewaretoken" value|name="login" value)="[^"]*"', "", page.content.decode()).replace(
            "eve@", "ada@"
        )

    assert said(known) == said(unknown)


def test_a_forgotten_password_is_answered_through_the_outbox_without_waiting_for_mail(client, ada, smtp_relay):
    client.post(reverse("account_reset_password"), {"email": ada.email})
    assert (smtp_relay.connections, Announcement.objects.count()) == (0, 1)

    engine.run_once()
    mail = smtp_relay.taken[0].message
    path = urlsplit(re.search(r"https?://\S+", mail.get_body(("plain",)).get_content())[0]).path
    assert mail["To"] == ada.email

    choose_password(client, path)
    assert is_in(client)


@pytest.mark.parametrize("path", ["/portal/", "/admin/"])
def test_a_stranger_is_sent_to_sign_in(client, db, path):
    answer = client.get(path, follow=True)

    assert answer.request["PATH_INFO"] == reverse("account_login")


def test_nobody_changes_their_own_address_unseen(client, ada):
    """The record names people by address, and mails about incidents go there."""
    client.force_login(ada)
    for typed in ({"action_add": "", "email": "ada@elsewhere.example"}, {"action_primary": "", "email": ada.email}):
        assert client.post("/accounts/email/", typed).status_code == 409
    assert client.get("/accounts/email/").status_code == 409
    ada.refresh_from_db()
    assert ada.email == "ada@example.com"
