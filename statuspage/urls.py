from django.urls import path, register_converter
from django.urls.converters import IntConverter

from statuspage import snapshot, views


class TwoDigits(IntConverter):
    regex = "[0-9]{2}"

    def to_url(self, value: int | str) -> str:
        return f"{int(value):02}"


register_converter(TwoDigits, "month")
app_name = "statuspage"
urlpatterns = [
    path("", views.page, name="page"),
    path("incidents/<slug:code>", views.incident, name="incident"),
    path("i/<slug:ref>", views.by_ref, name="by-ref"),
    path("history", views.history, name="history"),
    path("history/<int:year>-<month:month>", views.history, name="history"),
    path("u/<str:token>", views.leave, name="leave"),
    path("subscribe", views.subscribe, name="subscribe"),
    path("confirm/<str:token>", views.confirm, name="confirm"),
    path("manage", views.ask_to_manage, name="ask-to-manage"),
    path("manage/<str:token>", views.manage, name="manage"),
]
urlpatterns += [
    path(f"api/v2/{name}.json", views.document, {"write": write}, name=f"{name.replace('/', '-')}-json")
    for name, write in {
        "status": snapshot.status_json,
        "summary": snapshot.summary_json,
        "components": snapshot.components_json,
        "incidents": snapshot.incidents_json,
        "incidents/unresolved": snapshot.unresolved_json,
        "scheduled-maintenances": snapshot.maintenances_json,
        "scheduled-maintenances/upcoming": snapshot.maintenances_json,
        "scheduled-maintenances/active": snapshot.maintenances_json,
    }.items()
]
