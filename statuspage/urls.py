from django.urls import URLResolver, path, register_converter
from django.urls.converters import IntConverter

from statuspage import documents, views
from statuspage.languages import Prefix, spoken


class TwoDigits(IntConverter):
    regex = "[0-9]{2}"

    def to_url(self, value: int | str) -> str:
        return f"{int(value):02}"


register_converter(TwoDigits, "month")
app_name = "statuspage"
_documents = [
    (kind, path(kind.route, spoken(views.document), {"kind": kind}, name=kind.name))
    for kind in documents.KINDS
    if kind.topic != "asset"
]
in_every_language = [
    path("u/<str:token>", spoken(views.leave), name="leave"),
    path("subscribe", spoken(views.subscribe), name="subscribe"),
    path("subscribe/endpoint", spoken(views.subscribe_endpoint), name="subscribe-endpoint"),
    path("subscribe/<str:code>", spoken(views.follow), name="follow"),
    path("confirm/<str:token>", spoken(views.confirm), name="confirm"),
    path("manage", spoken(views.ask_to_manage), name="ask-to-manage"),
    path("manage/endpoint", spoken(views.ask_to_manage_endpoint), name="ask-to-manage-endpoint"),
    path("manage/<str:token>", spoken(views.manage), name="manage"),
    *(route for kind, route in _documents if kind.worded),
]
urlpatterns = [
    *(route for kind, route in _documents if not kind.worded),
    URLResolver(Prefix(), in_every_language),  # type: ignore[arg-type]
]
