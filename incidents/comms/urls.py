from django.urls import path

from incidents.comms import views

urlpatterns = [
    path("due", views.due, name="due"),
    path("incidents/<slug:ref>/update", views.write, name="update"),
    path("incidents/<slug:ref>/update/preview", views.preview, name="update-preview"),
    path("incidents/<slug:ref>/update/send", views.send, name="update-send"),
    path("incidents/<slug:ref>/update/draft", views.keep_draft, name="update-draft"),
    path("incidents/<slug:ref>/messages/<int:pk>/approve", views.approve, name="message-approve"),
    path("incidents/<slug:ref>/messages/<int:pk>/send-back", views.send_back, name="message-send-back"),
    path("incidents/<slug:ref>/messages/<int:pk>/rewrite", views.rewrite, name="message-rewrite"),
    path("incidents/<slug:ref>/messages/<int:pk>/without-approval", views.go_without, name="message-without"),
    path("incidents/<slug:ref>/notices/<slug:kind>", views.notice, name="notice"),
    path("incidents/<slug:ref>/statement", views.statement, name="statement"),
    path("incidents/<slug:ref>/public-postmortem", views.postmortem, name="public-postmortem"),
    path("incidents/<slug:ref>/public-postmortem/withdraw", views.withdraw_postmortem, name="postmortem-withdraw"),
    path("incidents/<slug:ref>/vendor", views.vendor, name="vendor"),
    path("incidents/<slug:ref>/laws/enter", views.enter_law, name="law-enter"),
    path("incidents/<slug:ref>/laws/<int:pk>/withdraw", views.withdraw_law, name="law-withdraw"),
    path("incidents/<slug:ref>/duties/<int:pk>/waive", views.waive, name="duty-waive"),
    path("incidents/<slug:ref>/duties/<int:pk>/settle", views.settle, name="duty-settle"),
    path("incidents/<slug:ref>/calls/<int:pk>/acknowledge", views.acknowledge_call, name="call-acknowledge"),
]
