from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

from irportal import views
from irportal.outbox.views import mail_events, metrics

admin.autodiscover()
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
admin.site.site_header = admin.site.site_title = "Settings"
admin.site.site_url = "/portal/"

urlpatterns = [
    path("healthz", views.healthz, name="healthz"),
    path("metrics", metrics, name="metrics"),
    path("mail-events", mail_events, name="mail-events"),
    path("admin/", admin.site.urls),
    path("accounts/email/", views.address_stays),
    path("accounts/", include("allauth.account.urls")),
    path("portal/pulse/", views.pulse, name="pulse"),
    path("portal/mail/", include("irportal.outbox.urls")),
    path("portal/", include("incidents.urls")),
    path("private/", include("statuspage.customers.urls")),
    path("", include("statuspage.urls")),
]
handler404 = "irportal.views.not_found"
handler500 = "irportal.views.broken"
