from django.urls import path

from incidents.maintenance import views

urlpatterns = [
    path("", views.everything, name="maintenances"),
    path("plan", views.plan, name="maintenance-plan"),
    path("MNT-<int:number>", views.one, name="maintenance"),
    path("MNT-<int:number>/change", views.change, name="maintenance-change"),
    path("MNT-<int:number>/start", views.start, name="maintenance-start"),
    path("MNT-<int:number>/tell", views.tell, name="maintenance-tell"),
    path("MNT-<int:number>/correct", views.correct, name="maintenance-correct"),
    path("MNT-<int:number>/extend", views.extend, name="maintenance-extend"),
    path("MNT-<int:number>/finish", views.finish, name="maintenance-finish"),
    path("MNT-<int:number>/cancel", views.cancel, name="maintenance-cancel"),
]
