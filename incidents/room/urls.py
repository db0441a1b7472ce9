from django.urls import path

from incidents.room import views

urlpatterns = [
    path("<slug:ref>", views.incident, name="incident"),
    path("<slug:ref>/declared", views.declared, name="declared"),
    path("<slug:ref>/notes", views.add_note, name="note"),
    path("<slug:ref>/timeline", views.record, {"what": "timeline"}, name="incident-timeline"),
    path("<slug:ref>/promises", views.record, {"what": "promises"}, name="incident-promises"),
    path("<slug:ref>/messages", views.record, {"what": "messages"}, name="incident-messages"),
]
