from django.urls import URLPattern, include, path

from statuspage import urls as public
from statuspage.customers import views
from statuspage.documents import HTML, JSON, KINDS

TOPICS = ("now", "lists", "uptime", "month", "notice", "maintenance")
OWN = [
    kind
    for kind in KINDS
    if kind.topic in TOPICS and kind.media in (HTML, JSON) and kind.status == 200 and not kind.framed
    if kind.name != "openapi"
]
NAMES = {kind.name for kind in OWN}
_others = [route for route in (*public.urlpatterns, *public.in_every_language) if isinstance(route, URLPattern)]
# Where the links of a private page lead: to private pages where there are such, else to what is public.
_routes = [
    *(path(f"private/{kind.route}", views.document, name=kind.name) for kind in OWN),
    *(route for route in _others if route.name not in NAMES),
]
LINKS = (path("", include((_routes, public.app_name))),)

app_name = "customers"
urlpatterns = [
    path("sign-in", views.sign_in, name="sign-in"),
    path("sign-in/openid", views.depart, name="openid"),
    path("sign-in/openid/back", views.come_back, name="openid-back"),
    path("sign-in/<str:token>", views.enter, name="enter"),
    path("sign-out", views.sign_out, name="sign-out"),
    *(path(kind.route, views.document, {"kind": kind, "links": LINKS}, name=kind.name) for kind in OWN),
]
