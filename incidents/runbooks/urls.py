from django.urls import path

from incidents.runbooks import views

RUNS = "incidents/<slug:ref>/runbooks/"
STEP = f"{RUNS}<int:pk>/steps/<int:position>/"

urlpatterns = [
    path(RUNS, views.runs, name="runs"),
    path(f"{RUNS}start", views.start, name="run-start"),
    path(f"{RUNS}<int:pk>", views.run, name="run"),
    path(f"{RUNS}<int:pk>/stop", views.stop, name="run-stop"),
    path(f"{STEP}done", views.done, name="run-step-done"),
    path(f"{STEP}skip", views.skip, name="run-step-skip"),
    path(f"{STEP}undo", views.undo, name="run-step-undo"),
    path(f"{STEP}note", views.remark, name="run-step-note"),
    path("runbooks/", views.library, name="runbooks"),
    path("runbooks/commands", views.commands, name="runbook-commands"),
    path("runbooks/write", views.write, name="runbook-write"),
    path("runbooks/preview", views.preview, name="runbook-preview"),
    path("runbooks/<slug:code>/", views.runbook, name="runbook"),
    path("runbooks/<slug:code>/versions/<int:number>", views.version, name="runbook-version"),
    path("runbooks/<slug:code>/difference", views.difference, name="runbook-difference"),
    path("runbooks/<slug:code>/write", views.rewrite, name="runbook-rewrite"),
    path("runbooks/<slug:code>/withdraw", views.withdraw, name="runbook-withdraw"),
]
