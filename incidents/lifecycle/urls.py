from django.urls import path

from incidents.lifecycle import views

urlpatterns = [
    path("", views.home, name="home"),
    path("incidents/declare", views.declare, name="declare"),
    path("incidents/declare/suggestion", views.advice, {"part": "suggestion"}, name="declare-suggestion"),
    path("incidents/declare/outlook", views.advice, {"part": "outlook"}, name="declare-outlook"),
    path("incidents/<str:ref>", views.incident, name="incident"),
    path("incidents/<str:ref>/declared", views.declared, name="declared"),
    path("incidents/<str:ref>/severity", views.severity, name="severity"),
    path("incidents/<str:ref>/roles", views.roles, name="roles"),
    path("incidents/<str:ref>/impact", views.impact, name="impact"),
    path("incidents/<str:ref>/notes", views.add_note, name="note"),
    path("incidents/<str:ref>/timeline/<int:pk>/correct", views.correct, name="correct"),
]
