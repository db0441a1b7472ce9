from django.urls import path

from incidents.comms import views

urlpatterns = [
    path("incidents/<str:ref>/update", views.write, name="update"),
    path("incidents/<str:ref>/update/preview", views.preview, name="update-preview"),
    path("incidents/<str:ref>/update/send", views.send, name="update-send"),
    path("incidents/<str:ref>/update/draft", views.keep_draft, name="update-draft"),
    path("incidents/<str:ref>/messages/<int:pk>/approve", views.approve, name="message-approve"),
    path("incidents/<str:ref>/messages/<int:pk>/send-back", views.send_back, name="message-send-back"),
    path("incidents/<str:ref>/duties/<int:pk>/waive", views.waive, name="duty-waive"),
    path("incidents/<str:ref>/duties/<int:pk>/settle", views.settle, name="duty-settle"),
]
