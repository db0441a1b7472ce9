"""Django alone as a WSGI application. What is served is statuspage.wsgi, which has public documents in memory."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "irportal.settings")

application = get_wsgi_application()
