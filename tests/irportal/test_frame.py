"""The frame around every staff page, the form fields, sign-in, and how a refusal is shown."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django import forms
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path
from django.utils import timezone

from irportal.outbox.models import Pulse
from irportal.refused import Refused
from irportal.views import ago
from tests.people import PASSWORD

SENTENCE = "INC-42 is resolved; it cannot be updated."
ACCOUNT = "/accounts/password/change/"


@login_not_required
def refuse(request: HttpRequest) -> HttpResponse:
    raise Refused(SENTENCE)


def forbid(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


urlpatterns = [
    path("portal/refuse/", refuse),
    path("refuse/", refuse),
    path("portal/forbid/", forbid),
    path("", include("irportal.urls")),
]
handler404 = "irportal.views.not_found"
pytestmark = pytest.mark.urls(__name__)


class Sample(forms.Form):
    title = forms.CharField(label="What do people see?", help_text="Plain words.", max_length=20)
    text = forms.CharField(label="Text", widget=forms.Textarea, required=False)
    how = forms.ChoiceField(label="How was it noticed?", choices=[("m", "Alert"), ("c", "Customer")])
    personal = forms.ChoiceField(label="Personal data?", choices=[("y", "Yes"), ("n", "No")], widget=forms.RadioSelect)
    parts = forms.MultipleChoiceField(
        label="Which components?", choices=[("a", "API")], widget=forms.CheckboxSelectMultiple
    )
    sure = forms.BooleanField(label="I have read it", required=False)
    seen = forms.DateTimeField(label="Seen", widget=forms.DateTimeInput(attrs={"class": "mono"}))
    which = forms.CharField(widget=forms.HiddenInput, initial="x")


@pytest.fixture
def beat(db):
    def write(age: timedelta) -> None:
        at = timezone.now() - age
        Pulse.objects.update_or_create(name="engine", defaults={"beat_at": at, "host": "here", "pid": 1})

    return write


def page(client, user, address=ACCOUNT) -> str:
    client.force_login(user)
    return client.get(address).content.decode()


# The engine's pulse


def test_a_staff_page_says_loudly_that_no_engine_ever_ran(client, ada):
    html = page(client, ada)

    assert "The engine has never run here." in html
    assert "manage.py engine" in html


def test_a_staff_page_says_since_when_the_engine_is_silent(client, ada, beat, time_machine):
    time_machine.move_to(datetime(2025, 10, 23, 9, 20, tzinfo=UTC), tick=False)
    beat(timedelta(minutes=4))

    assert "The engine last ran 4 min ago, at 09:16 UTC." in " ".join(page(client, ada).split())


def test_an_engine_silent_since_yesterday_is_named_with_its_date(client, ada, beat, time_machine):
    time_machine.move_to(datetime(2025, 10, 23, 9, 20, tzinfo=UTC), tick=False)
    beat(timedelta(hours=10))

    assert "The engine last ran 10 h ago, on 22 October, 23:20 UTC." in " ".join(page(client, ada).split())


def test_a_running_engine_is_one_quiet_line(client, ada, beat):
    beat(timedelta(seconds=2))
    html = page(client, ada)

    assert re.search(r"Engine ran \d s ago", html)
    assert 'role="alert"' not in html


def test_an_open_page_learns_that_the_engine_stopped_and_is_told_once(client, ada, beat):
    beat(timedelta(minutes=4))
    client.force_login(ada)

    assert 'role="alert"' in client.get("/portal/pulse/?was=alive").content.decode()
    assert 'role="alert"' not in client.get("/portal/pulse/?was=silent").content.decode()


def test_an_open_page_loses_the_banner_when_the_engine_is_back(client, ada, beat):
    beat(timedelta(seconds=2))
    client.force_login(ada)
    html = client.get("/portal/pulse/?was=silent").content.decode()

    assert 'id="stalled" hx-swap-oob="true"' in html
    assert 'role="alert"' not in html


def test_the_pulse_tells_a_stranger_nothing(client, db):
    answer = client.get("/portal/pulse/")

    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize(
    ("past", "text"),
    [
        (timedelta(seconds=-3), "0 s"),
        (timedelta(seconds=59.9), "59 s"),
        (timedelta(seconds=60), "1 min"),
        (timedelta(minutes=119), "1 h"),
        (timedelta(hours=49), "2 d"),
    ],
)
def test_a_time_that_has_passed_is_said_in_its_largest_unit(past, text):
    assert ago(past) == text


# The menu


def test_a_viewer_is_not_offered_to_declare_or_to_open_the_settings(client, ada):
    html = page(client, ada)

    assert "Incidents</a>" in html
    assert "Declare" not in html.replace("Declaring", "")
    assert "Settings</a>" not in html


def test_an_admin_is_offered_both(client, root):
    html = page(client, root)

    assert "Declare incident</a>" in html
    assert "Settings</a>" in html


def test_a_person_with_a_zone_reads_their_own_time_in_the_foot(client, ada, time_machine):
    time_machine.move_to(datetime(2025, 10, 24, 14, 51, tzinfo=UTC), tick=False)
    ada.zone = "Europe/Berlin"
    ada.save(update_fields=["zone"])

    assert "in Europe/Berlin it is 16:51" in page(client, ada)


def test_signing_out_is_one_button_on_every_page(client, ada):
    page(client, ada)
    client.post("/accounts/logout/")

    assert client.get("/portal/").status_code == 302


# Sign-in


def test_a_wrong_password_is_refused_on_top_and_the_address_is_kept(client, ada):
    html = client.post("/accounts/login/", {"login": ada.email, "password": "wrong"}).content.decode()

    assert 'class="refusal" role="alert"' in html
    assert f'value="{ada.email}"' in html
    assert "<title>Error: Sign in" in html


def test_the_right_password_opens_the_portal(client, ada):
    answer = client.post("/accounts/login/", {"login": ada.email, "password": PASSWORD})

    assert (answer.status_code, answer["Location"]) == (302, "/portal/")


def test_nobody_signs_up(client, db):
    assert "Nobody signs up here" in client.get("/accounts/signup/").content.decode()


def test_a_stranger_at_the_sign_in_page_learns_nothing_of_the_engine(client, db):
    html = client.get("/accounts/login/").content.decode()

    assert "engine" not in html.lower()


# Strict content policy


@pytest.mark.parametrize("address", ["/accounts/login/", ACCOUNT, "/portal/", "/admin/", "/portal/refuse/"])
def test_no_page_carries_code_or_style_in_its_text_and_the_policy_forbids_it(client, root, address):
    if address != "/accounts/login/":
        client.force_login(root)
    answer = client.get(address)
    policy, html = answer["Content-Security-Policy"], answer.content.decode()

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)", html)


# Refusals


def test_a_refusal_is_a_sentence_and_a_way_back(client, ada):
    client.force_login(ada)
    answer = client.get("/portal/refuse/", headers={"referer": "http://testserver/portal/incidents/INC-42"})

    assert answer.status_code == 409
    assert SENTENCE in answer.content.decode()
    assert 'href="http://testserver/portal/incidents/INC-42"' in answer.content.decode()


def test_a_refusal_never_links_back_to_a_strangers_site(client, ada):
    client.force_login(ada)
    html = client.get("/portal/refuse/", headers={"referer": "https://mallory.example/"}).content.decode()

    assert "mallory" not in html


def test_a_refusal_reaches_htmx_as_a_part_for_the_top_of_the_page(client, ada):
    client.force_login(ada)
    answer = client.get("/portal/refuse/", headers={"hx-request": "true"})

    assert (answer.status_code, answer["HX-Retarget"]) == (409, "#said")
    assert SENTENCE in answer.content.decode()
    assert "<html" not in answer.content.decode()


def test_a_refusal_on_a_public_page_sets_no_cookie(client):
    answer = client.get("/refuse/")

    assert answer.status_code == 409
    assert not answer.cookies
    assert "Cookie" not in answer.get("Vary", "")


def test_a_role_that_may_not_is_told_whom_to_ask(client, ada):
    client.force_login(ada)
    answer = client.get("/portal/forbid/")

    assert answer.status_code == 403
    assert "Ask a commander" in answer.content.decode()


# Fields


def field(name: str, data: dict[str, str] | None = None) -> str:
    return re.sub(r"\s+", " ", Sample(data)[name].as_field_group())


@pytest.mark.parametrize(
    ("name", "markup"),
    [
        ("title", 'class="form-control"'),
        ("text", "<textarea name="),
        ("how", 'class="form-select"'),
        ("personal", 'class="inline-radios"'),
        ("parts", 'class="tickboxes"'),
        ("sure", 'class="form-check-input"'),
        ("seen", 'class="form-control mono"'),
    ],
)
def test_every_kind_of_field_wears_our_classes(name, markup):
    assert markup in field(name)


def test_a_hint_is_tied_to_its_field():
    html = field("title")

    assert 'aria-describedby="id_title_helptext"' in html
    assert '<div class="hint" id="id_title_helptext">Plain words.</div>' in html


def test_a_refused_field_says_so_to_eye_and_ear():
    html = field("title", {"title": ""})

    assert '<div class="field bad">' in html
    assert 'aria-invalid="true"' in html
    assert 'aria-describedby="id_title_helptext id_title_error"' in html
    assert '<p class="error" id="id_title_error">This field is required.</p>' in html


def test_a_refused_choice_is_described_at_its_group():
    html = field("personal", {"title": ""})

    assert '<fieldset class="field bad" aria-describedby="id_personal_error">' in html
    assert "<legend>Personal data?</legend>" in html


def test_a_refused_form_names_each_refusal_with_a_way_to_its_field():
    html = Sample({"title": "x" * 21, "how": "m"}).as_div()

    assert '<a href="#id_title">What do people see?</a>: Ensure' in html
    assert '<a href="#id_personal_0">Personal data?</a>: This field is required.' in html
    assert 'id="id_personal_0"' in html


def test_what_was_typed_stays_and_is_shown_as_text_only():
    assert "&lt;script&gt;" in field("title", {"title": "<script>alert(1)</script>"})


def test_a_form_that_was_not_sent_refuses_nothing():
    assert "refusal" not in Sample().as_div()


# Severity, shapes and marks


def drawn(template: str, **context: object) -> str:
    return render(HttpRequest(), f"components/{template}.html", context).content.decode()


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_severity_is_a_number_of_bars(rank):
    assert drawn("_sev", rank=rank, label=f"SEV{rank}").count('class="off"') == rank - 1


@pytest.mark.parametrize(
    ("state", "shape"),
    [
        ("operational", "#s-ok"),
        ("degraded_performance", "#s-degraded"),
        ("partial_outage", "#s-partial"),
        ("major_outage", "#s-major"),
        ("under_maintenance", "#s-maint"),
        ("", "#s-none"),
    ],
)
def test_every_component_state_has_a_shape_of_its_own(state, shape):
    assert f'href="{shape}"' in drawn("_shape", state=state)


@pytest.mark.parametrize(
    ("outcome", "mark"),
    [
        ("kept", "#m-kept"),
        ("holding", "#m-hold"),
        ("late", "#m-late"),
        ("missed", "#m-miss"),
        ("waived", "#m-waive"),
        ("yours", "#m-next"),
        ("open", "#m-due"),
    ],
)
def test_every_outcome_of_a_promise_has_a_mark_of_its_own(outcome, mark):
    assert f'href="{mark}"' in drawn("_mark", outcome=outcome, label="Word")
