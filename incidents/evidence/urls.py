"""Below /portal/incidents/<ref>/."""

from django.urls import path

from incidents.evidence import views

urlpatterns = [
    path("evidence/", views.everything, name="evidence"),
    path("evidence/add/<slug:kind>", views.add, name="evidence-add"),
    path("evidence/hold", views.hold, name="evidence-hold"),
    path("evidence/holds/<int:pk>/lift", views.lift, name="evidence-lift"),
    path("evidence/verify", views.verify, name="evidence-verify"),
    path("evidence/export", views.export, name="evidence-export"),
    path("evidence/E-<int:number>", views.item, name="evidence-item"),
    path("evidence/E-<int:number>/read", views.read, name="evidence-read"),
    path("evidence/E-<int:number>/correct", views.correct, name="evidence-correct"),
    path("evidence/E-<int:number>/hold", views.hold, name="evidence-item-hold"),
    path("ai", views.ai, name="ai-context"),
]
