from django.urls import path

from incidents.policy import views

urlpatterns = [
    path("", views.profiles, name="policy-profiles"),
    path("default", views.default, name="policy-default"),
    path("default/settle/<int:pk>", views.settle_default, name="policy-default-settle"),
    path("<slug:name>/<int:number>/", views.version, name="policy-version"),
    path("<slug:name>/<int:number>/export", views.export, name="policy-export"),
    path("<slug:name>/<int:number>/clone", views.clone, name="policy-clone"),
    path("<slug:name>/<int:number>/edit/<slug:part>", views.edit, name="policy-edit"),
    path("<slug:name>/<int:number>/cell/<int:rank>/<slug:audience>", views.cell, name="policy-cell"),
    path("<slug:name>/<int:number>/submit", views.submit, name="policy-submit"),
    path("<slug:name>/<int:number>/send-back", views.send_back, name="policy-send-back"),
    path("<slug:name>/<int:number>/approve", views.approve, name="policy-approve"),
    path("<slug:name>/<int:number>/withdraw", views.withdraw, name="policy-withdraw"),
]
