"""What left, what waits and what was refused, to look at; the endpoints of other programs, to set up."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from irportal.outbox import endpoints
from irportal.outbox.channels import chat, guard, webhook
from irportal.outbox.models import Delivery, Endpoint
from irportal.recorded import ReadOnlyAdmin, RecordedAdmin
from irportal.refused import Refused

CHALLENGE = {Endpoint.Kind.WEBHOOK: webhook.challenge, Endpoint.Kind.CHAT: chat.challenge}


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ["announcement", "address", "state", "due_at", "accepted_at", "attempts", "last_error"]
    list_filter = ["state", "channel"]
    list_select_related = ["announcement"]
    search_fields = ["address", "announcement__thread"]
    ordering = ["-id"]
    show_full_result_count = False


class EndpointForm(forms.ModelForm):
    class Meta:
        model = Endpoint
        fields = ["url", "kind"]

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        try:
            guard.check(url)
        except guard.Blocked as blocked:
            raise forms.ValidationError(f"Nothing can be sent there: {blocked}.") from blocked
        return url


@admin.register(Endpoint)
class EndpointAdmin(RecordedAdmin):
    """An address is entered once. It is told nothing before it has answered a challenge."""

    deed = "endpoint.changed"
    private = frozenset({"url"})
    form = EndpointForm
    SHOWN = ("host", "kind", "is_active", "verified_at", "failing_since", "disabled_reason")
    list_display = SHOWN
    list_filter = ["kind", "is_active"]
    actions = ["challenge", "rotate", "switch_off"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Endpoint]:
        """Those of readers stand among the subscribers."""
        return super().get_queryset(request).filter(of_reader=False)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*self.SHOWN, "previous_until", "created_at"] if obj else ["url", "kind"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.get_fields(request, obj) if obj else []

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            self._show_secret(request, obj)
            messages.info(request, "Choose it in the list and send the challenge; before that it is told nothing.")

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with transaction.atomic():
            endpoints.drop_waiting(obj, "the endpoint was deleted")
            super().delete_model(request, obj)

    @admin.action(description="Send the challenge, and use it when it answers", permissions=["change"])
    def challenge(self, request: HttpRequest, chosen: QuerySet[Endpoint]) -> None:
        for endpoint in chosen:
            try:
                CHALLENGE[Endpoint.Kind(endpoint.kind)](endpoint)
            except Refused as refused:
                messages.error(request, f"{endpoint}: {refused}")
                continue
            with transaction.atomic():
                self.record(request, endpoint, "answered the challenge")
                endpoints.answered(endpoint)
            messages.success(request, f"{endpoint} is in use.")

    @admin.action(description="Draw a new secret; the one before signs for a day more", permissions=["change"])
    def rotate(self, request: HttpRequest, chosen: QuerySet[Endpoint]) -> None:
        for endpoint in chosen.filter(kind=Endpoint.Kind.WEBHOOK):
            with transaction.atomic():
                self.record(request, endpoint, "drew a new secret")
                endpoints.rotate(endpoint)
            self._show_secret(request, endpoint)

    @admin.action(description="Switch off", permissions=["change"])
    def switch_off(self, request: HttpRequest, chosen: QuerySet[Endpoint]) -> None:
        for endpoint in chosen:
            endpoints.switch_off(endpoint, reason="switched off by hand", by=request.user)  # type: ignore[arg-type]

    def _show_secret(self, request: HttpRequest, endpoint: Endpoint) -> None:
        if endpoint.kind == Endpoint.Kind.WEBHOOK:
            messages.warning(request, f"The secret of {endpoint}, shown this once: {endpoint.secret}")
