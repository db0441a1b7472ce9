# gunicorn: the processes that own the port and serve public documents from memory. They never wait for a database.
wsgi_app = "statuspage.wsgi:application"
worker_class = "statuspage.server.PageWorker"
bind = "127.0.0.1:8000"
workers = 2
worker_connections = 4096  # each; an idle one is given up for a new one
backlog = 2048
graceful_timeout = 10
timeout = 30
control_socket_disable = True
