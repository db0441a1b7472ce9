"""Below /portal/incidents/<ref>/postmortem/."""

from django.urls import path

from incidents.postmortems import views

urlpatterns = [
    path("", views.edit, name="postmortem"),
    path("submit", views.submit, name="postmortem-submit"),
    path("send-back", views.send_back, name="postmortem-send-back"),
    path("approve", views.approve, name="postmortem-approve"),
    path("pdf", views.pdf, name="postmortem-pdf"),
]
