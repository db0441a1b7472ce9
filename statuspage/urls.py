from django.urls import path, register_converter
from django.urls.converters import IntConverter

from statuspage import documents, views


class TwoDigits(IntConverter):
    regex = "[0-9]{2}"

    def to_url(self, value: int | str) -> str:
        return f"{int(value):02}"


register_converter(TwoDigits, "month")
app_name = "statuspage"
urlpatterns = [
    path("u/<str:token>", views.leave, name="leave"),
    path("subscribe", views.subscribe, name="subscribe"),
    path("subscribe/endpoint", views.subscribe_endpoint, name="subscribe-endpoint"),
    path("subscribe/<str:code>", views.follow, name="follow"),
    path("confirm/<str:token>", views.confirm, name="confirm"),
    path("manage", views.ask_to_manage, name="ask-to-manage"),
    path("manage/endpoint", views.ask_to_manage_endpoint, name="ask-to-manage-endpoint"),
    path("manage/<str:token>", views.manage, name="manage"),
]
urlpatterns += [
    path(kind.route, views.document, {"kind": kind}, name=kind.name)
    for kind in documents.KINDS
    if kind.topic != "asset"
]
