from django.urls import path

from incidents.lifecycle import views

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
]
