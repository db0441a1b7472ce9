"""Index of the subjects' addresses; nothing is defined here."""

from django.urls import include, path

app_name = "portal"
urlpatterns = [
    path("", include("incidents.lifecycle.urls")),
    path("", include("incidents.comms.urls")),
    path("incidents/", include("incidents.room.urls")),
    path("maintenance/", include("incidents.maintenance.urls")),
    path("incidents/<slug:ref>/", include("incidents.evidence.urls")),
    path("", include("incidents.runbooks.urls")),
    path("policy/", include("incidents.policy.urls")),
    path("incidents/<slug:ref>/postmortem/", include("incidents.postmortems.urls")),
]
