"""The one exception rules raise, and the middleware that shows its sentence to the person."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


class Refused(Exception):
    """What was asked cannot be done. The message is one plain sentence a tired person understands."""


class RefusedMiddleware:
    """Answer 409 with the sentence where no form caught the refusal; htmx shows it on top of the page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, Refused):
            return None
        if "HX-Request" not in request.headers:
            return render(request, "refused.html", {"reason": str(exception)}, status=409)
        part = render(request, "refused.html#said", {"reason": str(exception)}, status=409)
        part["HX-Retarget"], part["HX-Reswap"] = "#said", "innerHTML show:top"
        return part
