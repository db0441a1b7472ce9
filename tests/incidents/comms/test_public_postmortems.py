"""Staff write the post-mortem customers read, others approve it, and the page shows it; and who caused an incident."""

import pytest

from incidents.comms import actions
from incidents.lifecycle.models import Role, RoleContact
from incidents.workflow import send_draft
from irportal.refused import Refused
from statuspage.models import Notice, Vendor
from tests.people import person

pytestmark = pytest.mark.django_db

INC = "/portal/incidents/INC-1"


@pytest.fixture
def marek(organisation):
    """Legal lead."""
    made = person("Marek", "publisher")
    RoleContact.objects.create(role=Role.LEGAL_LEAD, person=made)
    return made


@pytest.fixture
def resolved(declare, update):
    """INC-1, on the page and resolved."""
    incident = declare()
    update(incident, customer_text="Every request fails.")
    return update(incident, status="resolved", reason="It is over.", customer_text="It works again.")


def body() -> str:
    stands = Notice.objects.get().postmortem
    return stands.body if stands else ""


def test_commander_and_legal_lead_approve_what_customers_read(resolved, client, lee, grace, marek):
    client.force_login(lee)
    sent = client.post(f"{INC}/public-postmortem", {"said": "A cable was cut."})
    assert sent.status_code == 302
    message = resolved.messages.get(kind="postmortem")

    send_draft(message, by=marek, content_hash=message.content_hash)
    assert body() == ""
    client.force_login(grace)
    assert "Approve and publish" in client.get(INC).content.decode()
    client.post(f"{INC}/messages/{message.pk}/approve", {"content_hash": message.content_hash})
    assert body() == "A cable was cut."


def publish(incident, text, lee, grace, marek, corrects=""):
    message = actions.write_postmortem(incident, text=text, corrects=corrects, by=lee)
    send_draft(message, by=marek, content_hash=message.content_hash)
    send_draft(message, by=grace, content_hash=message.content_hash)


def test_a_correction_asks_what_was_wrong_and_begins_with_what_stands(resolved, client, lee, grace, marek):
    publish(resolved, "A cable was cut.", lee, grace, marek)
    client.force_login(lee)

    assert "A cable was cut." in client.get(f"{INC}/public-postmortem").content.decode()
    refused = client.post(f"{INC}/public-postmortem", {"said": "A cable was unplugged."})
    assert refused.status_code == 400
    assert "Say what was wrong" in refused.content.decode()
    assert "A cable was unplugged." in refused.content.decode()

    publish(resolved, "A cable was unplugged.", lee, grace, marek, corrects="Not cut.")
    assert (body(), Notice.objects.get().postmortem.reason) == ("A cable was unplugged.", "Not cut.")


def test_approvals_are_bound_to_what_readers_are_told_was_wrong(resolved, lee, grace, marek):
    publish(resolved, "A cable was cut.", lee, grace, marek)
    one = actions.write_postmortem(resolved, text="Unplugged.", corrects="Not cut.", by=lee)
    other = actions.write_postmortem(resolved, text="Unplugged.", corrects="Never cut.", by=lee)

    assert one.content_hash != other.content_hash


def test_it_is_withdrawn_with_a_reason(resolved, client, lin, lee, grace, marek):
    publish(resolved, "A cable was cut.", lee, grace, marek)
    client.force_login(lin)

    assert client.post(f"{INC}/public-postmortem/withdraw", {"reason": ""}).status_code == 400
    assert client.post(f"{INC}/public-postmortem/withdraw", {"reason": "Too early."}).status_code == 302
    assert body() == ""


def test_an_open_incident_has_no_post_mortem_to_publish(declare, update, client, lee):
    incident = declare()
    update(incident, customer_text="Every request fails.")
    with pytest.raises(Refused, match="is not resolved on the public page"):
        actions.write_postmortem(incident, text="A cable was cut.", by=lee)

    client.force_login(lee)
    answer = client.post(f"{INC}/public-postmortem", {"said": "A cable was cut."})
    assert answer.status_code == 400
    assert "A cable was cut." in answer.content.decode()


def test_it_meets_no_promise_and_mails_nobody(resolved, lee, grace, marek):
    before = list(resolved.duties.values_list("pk", "outcome"))
    publish(resolved, "A cable was cut.", lee, grace, marek)

    assert list(resolved.duties.values_list("pk", "outcome")) == before
    assert resolved.messages.get(kind="postmortem").announcement_key == ""


@pytest.mark.parametrize("address", ["public-postmortem", "public-postmortem/withdraw", "vendor"])
def test_who_only_looks_may_neither_write_nor_withdraw(resolved, client, ada, address):
    client.force_login(ada)

    assert client.get(f"{INC}/{address}").status_code == 403


def test_the_page_names_the_vendor_who_caused_it(declare, update, client, lin):
    update(declare(), customer_text="Every request fails.")
    cloud = Vendor.objects.create(name="Cloudy", address="https://status.cloudy.example")
    client.force_login(lin)
    assert client.post(f"{INC}/vendor", {"vendor": cloud.pk}).status_code == 302

    assert 'Caused by a vendor: <a href="https://status.cloudy.example">Cloudy</a>' in client.get("/").content.decode()
    client.post(f"{INC}/vendor", {"vendor": ""})
    assert "Cloudy</a>." not in client.get("/").content.decode()


def test_what_is_not_on_the_page_has_no_cause_there(declare, client, lin):
    declare()
    client.force_login(lin)
    answer = client.post(f"{INC}/vendor", {"vendor": ""})

    assert answer.status_code == 400
    assert "INC-1 is not on the public page" in answer.content.decode()
