"""Settings of the public page: groups and components can be edited, subscribers only seen."""

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from statuspage.models import Choice, Component, ComponentGroup, NoticeComponent, Subscriber


class RecordedAdmin(admin.ModelAdmin):
    """Writes the ledger first, then the row: the ledger's lock comes before any other."""

    @transaction.atomic
    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm, change: bool) -> None:
        facts = {name: str(form.cleaned_data.get(name)) for name in form.changed_data}
        self._record(request, obj, "changed" if change else "added", **facts)
        super().save_model(request, obj, form, change)

    @transaction.atomic
    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self._record(request, obj, "deleted")
        super().delete_model(request, obj)

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        for obj in queryset:
            self.delete_model(request, obj)

    def _record(self, request: HttpRequest, obj: Any, what: str, **facts: str) -> None:
        by = request.user if isinstance(request.user, User) else None
        subject = f"{obj._meta.model_name}:{obj.code}"
        ledger.append("component.changed", subject=subject, by=by, what=what, called=str(obj), **facts)


@admin.register(ComponentGroup)
class ComponentGroupAdmin(RecordedAdmin):
    list_display = ["name", "position"]
    fields = ["name", "position"]

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        deleted, counts, missing, kept = super().get_deleted_objects(objs, request)
        if kept:
            kept = [f"A group is deleted when it is empty; {len(kept)} of its components still stand in it."]
        return deleted, counts, missing, kept


@admin.register(Component)
class ComponentAdmin(RecordedAdmin):
    list_display = ["name", "group", "position", "state"]
    list_select_related = ["group"]
    fields = ["name", "group", "description", "position"]
    search_fields = ["name"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return Component.objects.with_state()

    @admin.display(description="state now")
    def state(self, component: Component) -> str:
        return component.state_label

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        deleted, counts, missing, kept = super().get_deleted_objects(objs, request)
        return (
            deleted,
            counts,
            missing,
            [reason for component in objs if (reason := _why_kept(component))] or kept,
        )


def _why_kept(component: Component) -> str:
    """Why a component cannot be deleted, or nothing."""
    notices = NoticeComponent.objects.filter(component=component).count()
    chosen = Choice.objects.filter(component=component).count()
    if not notices and not chosen:
        return ""
    return (
        f"{component.name} stands in {notices} published incidents and {chosen} subscribers chose it. "
        "Deleting it would change what was said and who is told; rename it instead."
    )


@admin.register(Subscriber)
class SubscriberAdmin(admin.ModelAdmin):
    list_display = ["email", "confirmed_at", "left_at", "created_at"]
    list_filter = ["components"]
    search_fields = ["email"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Subscriber | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Subscriber | None = None) -> bool:
        return False
