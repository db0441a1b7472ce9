from django.urls import path

from irportal.outbox import views

app_name = "outbox"
urlpatterns = [
    path("undelivered", views.undelivered, name="undelivered"),
    path("undelivered/send-again", views.send_chosen, name="send-chosen"),
    path("undelivered/send-all-again", views.send_all, name="send-all"),
    path("suppressed", views.suppressed, name="suppressed"),
    path("suppressed/<int:pk>/lift", views.lift, name="lift"),
]
