from django.urls import path

from incidents.lifecycle import views
from incidents.lifecycle.passing import views as passing
from incidents.lifecycle.recovery import views as recovery

urlpatterns = [
    path("", views.home, name="home"),
    path("incidents/declare", views.declare, name="declare"),
    path("incidents/declare/suggestion", views.advice, {"part": "suggestion"}, name="declare-suggestion"),
    path("incidents/declare/outlook", views.advice, {"part": "outlook"}, name="declare-outlook"),
    path("incidents/<slug:ref>/acknowledge", views.acknowledge, name="acknowledge"),
    path("incidents/<slug:ref>/severity", views.severity, name="severity"),
    path("incidents/<slug:ref>/roles", views.roles, name="roles"),
    path("incidents/<slug:ref>/impact", views.impact, name="impact"),
    path("incidents/<slug:ref>/timeline/<int:pk>/correct", views.correct, name="correct"),
    path("incidents/<slug:ref>/hand-over", passing.hand_over, name="hand-over"),
    path("incidents/<slug:ref>/hand-overs/<int:pk>/take", passing.take, name="hand-over-take"),
    path("incidents/<slug:ref>/gate/numbers", recovery.reading, name="gate-reading"),
    path("incidents/<slug:ref>/gate/<slug:key>", recovery.tick, name="gate-tick"),
    path("incidents/<slug:ref>/controls/<int:pk>/confirm", recovery.confirm, name="control-confirm"),
    path("incidents/<slug:ref>/controls/<slug:kind>", recovery.control, name="control"),
    path("contacts/", passing.contact_list, name="contacts"),
    path("contacts/reviewed", passing.review, name="contacts-reviewed"),
    path("contacts/<slug:role>", passing.contact, name="contact"),
    path("shifts/", passing.shifts, name="shifts"),
    path("shifts/new", passing.hand_over_shift, name="shift-new"),
    path("shifts/<int:pk>", passing.shift, name="shift"),
    path("shifts/<int:pk>/take", passing.take_shift, name="shift-take"),
    path("shifts/<int:pk>/pdf", passing.shift_pdf, name="shift-pdf"),
]
