# gunicorn: the processes where Django runs. They take over connections from those of page.conf.py.
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "irportal.settings")

from django.conf import settings

wsgi_app = "statuspage.wsgi:with_django()"
worker_class = "statuspage.server.DjangoWorker"
bind = f"unix:{settings.VAR_DIR}/web.sock"
umask = 0o077
workers = 2
threads = 4
keepalive = 0  # the next request begins in front again, where documents are answered
worker_connections = 256  # each; who comes on top is told to try again
backlog = 64
graceful_timeout = 30
timeout = 30
forwarded_allow_ips = ""  # TRUSTED_PROXY_COUNT and BEHIND_PROXY say what is believed
control_socket_disable = True
