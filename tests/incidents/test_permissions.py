"""Who may see and do what outside the incidents: mail, settings, accounts, health and the public pages.

With tests/incidents/test_roles.py every address is read and sent to by strangers and by every role, and every answer is
written down here or there. Sent is `x=y`: what is allowed ends in a refusal by the form, what is not before it.
"""

import re

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.urls import URLResolver, get_resolver
from django.utils import timezone

from incidents.runbooks.models import ServiceCommand, ServiceLink
from irportal.outbox.models import Suppression
from statuspage.models import Brand, Component, ComponentGroup, Customer, Notice, Vendor
from tests import people
from tests.factories import deliveries, endpoint
from tests.incidents.test_roles import EVERYBODY, MAY, PUBLISHERS
from tests.statuspage.factories import announced, publish

pytestmark = pytest.mark.django_db
STRANGER = "stranger"
ONLY_READ = (200, 405)

# Address: status of reading and of sending, the same for strangers and every role: staff see no other public page.
ALIKE = {
    "healthz": (503, 405),  # no engine runs here
    "metrics": (404, 405),
    "mail-events": (405, 404),
    "account_inactive": ONLY_READ,
    "account_email_verification_sent": ONLY_READ,
    "account_reset_password": (200, 200),
    "account_confirm_email": (200, 404),
    "account_reset_password_from_key": (200, 200),
    "account_reset_password_from_key_done": ONLY_READ,
    "account_reset_password_done": ONLY_READ,
    "customers:sign-in": (200, 400),
    "customers:openid": (404, 405),
    "customers:openid-back": (404, 405),
    "customers:enter": (404, 404),
    "customers:sign-out": (405, 302),
    **{f"customers:{name}": (302, 405) for name in ("page", "uptime", "history", "incident", "by-ref", "maintenance")},
    "statuspage:brand": (404, 405),
    "statuspage:leave": (200, 200),
    "statuspage:subscribe": (200, 400),
    "statuspage:subscribe-endpoint": (200, 400),
    "statuspage:follow": (200, 400),
    "statuspage:confirm": (404, 404),
    "statuspage:ask-to-manage": (200, 400),
    "statuspage:ask-to-manage-endpoint": (200, 400),
    "statuspage:manage": (404, 404),
    "statuspage:not-found": (404, 405),
    "statuspage:by-ref": (301, 405),
    **{f"statuspage:{name}": ONLY_READ for name in ("page", "uptime", "history", "incident", "maintenance", "badge")},
    **{f"statuspage:{name}": ONLY_READ for name in ("widget", "history-atom", "history-rss", "feed-json", "openapi")},
    **{f"statuspage:{name}calendar": ONLY_READ for name in ("", "maintenance-", "component-")},
}
JSON = ["status", "summary", "components", "incidents", "incidents-unresolved"]
JSON += [f"scheduled-maintenances{part}" for part in ("", "-upcoming", "-active")]
ALIKE |= {f"statuspage:{name}-json": ONLY_READ for name in [*JSON, "incident", "maintenance"]}
ALIKE |= {f"customers:{name}-json": (401, 405) for name in [*JSON, "incident", "maintenance"]}

# Address: what a stranger gets, what everybody signed in gets.
SIGNED_IN = {
    "pulse": ((204, 405), (200, 405)),
    "account_login": ((200, 200), (302, 302)),
    "account_signup": ((200, 200), (302, 302)),  # closed; it says so
    "account_reauthenticate": ((302, 302), (200, 200)),
    "account_email": ((302, 302), (409, 409)),
    "accounts/email/": ((302, 302), (409, 409)),
    "account_change_password": ((302, 302), (200, 200)),
    "account_set_password": ((302, 302), (302, 302)),
    "account_confirm_login_code": ((302, 302), (302, 302)),
    "account_logout": ((302, 302), (200, 302)),
}

# Address: what a role gets that may send again what was given up, and what the other roles get.
RESENDS = PUBLISHERS
MAIL = {
    "outbox:undelivered": ((200, 405), (403, 405)),
    "outbox:send-chosen": ((405, 409), (405, 403)),
    "outbox:send-all": ((405, 409), (405, 403)),
    "outbox:suppressed": ((200, 405), (403, 405)),
    "outbox:lift": ((405, 409), (405, 403)),
}

# Settings: what an admin gets. Everybody else is sent to the sign-in, or told at the settings' own that they may not.
SETTINGS = {
    "admin:index": (200, 200),
    "admin:login": (302, 200),
    "admin:logout": (405, 200),
    "admin:password_change": (200, 200),
    "admin:password_change_done": (200, 405),
    "admin:autocomplete": (403, 405),
    "admin:jsi18n": (200, 405),
    "admin:view_on_site": (404, 404),
    "admin:app_list": (200, 200),
    "admin/(?P<url>.*)$": (404, 404),
}
NO_ADMIN = {"admin:login": (403, 403)}
# What an admin may do with each kind of setting besides looking; a brand is one, an approved version never changes.
ALL = "add change delete"
VERBS = {
    "accounts_user": "change",
    "ledger_entry": "",
    "outbox_delivery": "",
    "outbox_endpoint": ALL,
    "statuspage_componentgroup": ALL,
    "statuspage_component": ALL,
    "statuspage_vendor": ALL,
    "statuspage_customer": ALL,
    "statuspage_brand": "change delete",
    "statuspage_subscriber": "",
    "incidents_rolecontact": ALL,
    "incidents_policyversion": "",
    "incidents_policyprofile": "",
    "incidents_incidenttype": "",
    "incidents_servicecommand": ALL,
    "incidents_servicelink": ALL,
}


NOTHING_NEEDED = {"brand", "endpoint"}  # their form is content with nothing and saves
ENDS = ("delete", "logout", "sign-out")


def settings_of(label: str, verbs: str) -> dict[str, tuple[int, int]]:
    """The seven addresses of one kind of setting for an admin."""
    may = {verb: (200, 200) if verb in verbs else (403, 403) for verb in ALL.split()}
    app, model = label.split("_")
    return {
        f"admin:{label}_changelist": (302, 302) if model == "brand" else (200, 200),  # the one row stands for the list
        f"admin:{label}_add": may["add"],
        f"admin:{label}_change": (200, 302 if model in NOTHING_NEEDED else may["change"][1]),
        f"admin:{label}_delete": (200, 302) if "delete" in verbs else (403, 403),
        f"admin:{label}_history": (200, 200),
        f"admin/{app}/{model}/<path:object_id>/": (302, 302),
    }


for _label, _verbs in VERBS.items():
    SETTINGS |= settings_of(_label, _verbs)
ODD = {
    "admin:app_list": "/admin/incidents/",
    "admin/(?P<url>.*)$": "/admin/nowhere",
    "account_confirm_email": "/accounts/confirm-email/abc/",
    "account_reset_password_from_key": "/accounts/password/reset/key/1-abc/",
}


def routes(entries, prefix="", spaces=()):
    """Each address as (name, route); the route stands in for a name that is not there."""
    for entry in entries:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry.url_patterns, route, (*spaces, *filter(None, [entry.namespace])))
        else:
            yield ":".join([*spaces, entry.name]) if entry.name else route, route


ROUTES = list(routes(get_resolver().url_patterns))
HERE = [(name, route) for name, route in ROUTES if not name.startswith("portal:")]


def test_every_address_there_is_stands_in_one_table():
    tables = [ALIKE, SIGNED_IN, MAIL, SETTINGS, {f"portal:{name}" for name in MAY}]
    assert {name for name, _ in ROUTES} == {name for table in tables for name in table}
    assert sum(map(len, tables)) == len({name for table in tables for name in table})


def test_every_kind_of_setting_has_its_verbs():
    assert {f"{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry} == set(VERBS)


def wanted(name: str, role: str) -> tuple[int, int]:
    if name in ALIKE:
        return ALIKE[name]
    if name in SIGNED_IN:
        return SIGNED_IN[name][role != STRANGER]
    if name in MAIL:
        return (302, 302) if role == STRANGER else MAIL[name][role not in RESENDS]
    if role == "admin":
        return SETTINGS[name]
    return (302, 302) if role == STRANGER else NO_ADMIN.get(name, (302, 302))


@pytest.fixture
def addresses(organisation, freezer) -> list[tuple[str, str]]:
    """The address of every route outside the incidents, with something behind each; what ends or deletes comes last."""
    publish("investigating", (organisation["api"], "major_outage"), ref="INC-1")
    work = announced(organisation["api"])
    deliveries()
    spare = {
        get_user_model(): people.person("Spare", "viewer"),
        ComponentGroup: ComponentGroup.objects.create(name="Spare"),
        Component: Component.objects.create(name="Spare"),
        Customer: Customer.objects.create(name="Spare", contact_email="spare@r.example"),
        ServiceCommand: ServiceCommand.objects.create(name="health", text="curl /health"),
        ServiceLink: ServiceLink.objects.create(name="hosting", url="https://host.example"),
    }
    endpoint("https://hook.r.example/")
    Vendor.objects.create(name="Cloud", address="https://status.cloud.example")
    Brand.objects.create()
    Suppression.objects.create(target="gone@r.example", made_at=timezone.now())
    kinds = {f"{model._meta.app_label}/{model._meta.model_name}": model for model in admin.site._registry}
    codes = {"maintenance": work.code, "components": organisation["api"].code, "": Notice.objects.get().code}

    def filled(name: str, route: str) -> str:
        if name in ODD:
            return ODD[name]
        kind = next((model for label, model in kinds.items() if f"admin/{label}/" in route), None)
        row = spare.get(kind) or kind.objects.first() if kind and "<" in route else None
        code = next(code for part, code in codes.items() if part in route)
        values = {"object_id": row and row.pk, "content_type_id": 1, "code": code, "ref": "INC-1", "pk": 1}
        values |= {"year": "2026", "month": "03", "token": "made-up", "name": "made-up"}
        return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(values[found[1]]), route)

    return [(name, filled(name, route)) for name, route in sorted(HERE, key=lambda pair: pair[0].endswith(ENDS))]


@pytest.mark.parametrize("role", [STRANGER, *sorted(EVERYBODY)])
def test_each_role_gets_in_exactly_where_the_tables_say_and_only_an_admin_changes_settings(client, addresses, role):
    someone = people.person("Someone", role) if role != STRANGER else None
    before, wrong, is_in = kept(), {}, False
    for name, address in addresses:
        if someone and (not is_in or name.endswith(ENDS)):
            client.force_login(someone)
            is_in = True
        found = (client.get(address).status_code, client.post(address, {"x": "y"}).status_code)
        if found != wanted(name, role):
            wrong[f"{name} {address}"] = (found, wanted(name, role))
    assert wrong == {}
    assert (kept() == before) is (role != "admin")


def kept() -> dict[str, int]:
    """How many rows each kind of setting has."""
    return {model._meta.label: model.objects.count() for model in admin.site._registry}
