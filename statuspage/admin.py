"""Settings of the public page: groups and components can be edited, subscribers only seen."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from irportal.recorded import ReadOnlyAdmin, RecordedAdmin
from statuspage import editions
from statuspage.models import Choice, Component, ComponentGroup, NoticeComponent, Subscriber


class PartAdmin(RecordedAdmin):
    """Components and groups are named in the record by their code and by what they are called."""

    deed = "component.changed"

    def subject(self, obj: Any) -> str:
        return f"{obj._meta.model_name}:{obj.code}"

    def record(self, request: HttpRequest, obj: Any, what: str, **facts: Any) -> None:
        super().record(request, obj, what, called=str(obj), **facts)
        if isinstance(obj, Component):
            editions.touch_component(obj)
        else:
            editions.touch()


@admin.register(ComponentGroup)
class ComponentGroupAdmin(PartAdmin):
    list_display = ["name", "position"]
    fields = ["name", "position"]

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        deleted, counts, missing, kept = super().get_deleted_objects(objs, request)
        if kept:
            kept = [f"A group is deleted when it is empty; {len(kept)} of its components still stand in it."]
        return deleted, counts, missing, kept


@admin.register(Component)
class ComponentAdmin(PartAdmin):
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
class SubscriberAdmin(ReadOnlyAdmin):
    list_display = ["email", "confirmed_at", "left_at", "created_at"]
    list_filter = ["components"]
    search_fields = ["email"]
