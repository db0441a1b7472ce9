"""Stands in Django's place behind the server in front, and says what reached it."""

import json
from collections.abc import Callable
from typing import Any


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    said = {
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "query": environ["QUERY_STRING"],
        "from": environ["REMOTE_ADDR"],
        "port": environ["REMOTE_PORT"],
        "body": environ["wsgi.input"].read().decode(),
        "language": environ.get("HTTP_ACCEPT_LANGUAGE", ""),
    }
    body = json.dumps(said).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
