"""What somebody meets who has just typed `make run`."""

import pytest

pytestmark = pytest.mark.browser


def test_the_sign_in_of_the_banner_opens_the_portal(portal, chromium):
    page = chromium.new_context(java_script_enabled=False).new_page()
    page.goto(f"{portal.base_url}/portal/")
    page.get_by_label("Email").fill(portal.email)
    page.get_by_label("Password", exact=True).fill(portal.password)
    page.get_by_role("button", name="Sign in").click()
    assert page.url == f"{portal.base_url}/portal/"
    page.context.close()


def test_the_public_page_answers_a_stranger_without_a_cookie(portal, chromium):
    context = chromium.new_context()
    page = context.new_page()
    assert page.goto(f"{portal.base_url}/").status == 200
    assert context.cookies() == []
    context.close()


def test_a_forgotten_password_reaches_the_mail_catcher(portal, chromium):
    portal.manage("staff", "vera@example.com", "--role", "viewer")
    page = chromium.new_context().new_page()
    page.goto(f"{portal.base_url}/accounts/password/reset/")
    page.get_by_label("Email").fill("vera@example.com")
    page.get_by_role("button", name="Send the link").click()
    mail = portal.wait_for_mail(lambda mail: mail["To"] == "vera@example.com")
    assert f"{portal.base_url}/accounts/password/reset/key/" in mail.get_body(("plain",)).get_content()
    page.context.close()
