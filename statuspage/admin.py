"""Settings of the public page: groups and components can be edited, subscribers only seen and ended."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from irportal.outbox.channels import guard
from irportal.recorded import ReadOnlyAdmin, RecordedAdmin
from statuspage import editions, subscriptions
from statuspage.models import (
    Choice,
    Component,
    ComponentGroup,
    GroupChoice,
    MaintenanceComponent,
    NoticeComponent,
    Subscriber,
    Vendor,
)


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
            inside = Component.objects.filter(group__in=objs).count()
            chosen = GroupChoice.objects.filter(group__in=objs).count()
            kept = [
                f"A group is deleted when it is empty and nobody chose it; {inside} components stand in it and "
                f"{chosen} subscribers chose it."
            ]
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
    works = MaintenanceComponent.objects.filter(component=component).count()
    chosen = Choice.objects.filter(component=component).count()
    if not notices and not works and not chosen:
        return ""
    told = f"{notices} published incidents" + (f" and {works} planned maintenances" if works else "")
    return (
        f"{component.name} stands in {told} and {chosen} subscribers chose it. "
        "Deleting it would change what was said and who is told; rename it instead."
    )


class StandingFilter(admin.SimpleListFilter):
    title, parameter_name = "state", "state"
    STATES: ClassVar[dict[str, tuple[str, Q]]] = {
        "told": ("told of what happens", Q(confirmed_at__isnull=False, left_at=None)),
        "unconfirmed": ("not confirmed", Q(confirmed_at=None, left_at=None)),
        "left": ("left or ended", Q(left_at__isnull=False)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, label) for value, (label, _) in self.STATES.items()]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        _, wanted = self.STATES.get(self.value() or "", ("", Q()))
        return queryset.filter(wanted)


class VendorForm(forms.ModelForm):
    class Meta:
        model = Vendor
        fields = ["name", "address", "watched", "components"]

    def clean_address(self) -> str:
        """Without a slash at the end; a page's address, not that of one of its documents."""
        address: str = self.cleaned_data["address"].rstrip("/")
        try:
            guard.check(address)
        except guard.Blocked as blocked:
            raise forms.ValidationError(f"Nothing can be read there: {blocked}.") from blocked
        if "?" in address:
            raise forms.ValidationError("Give the address of their status page without a query.")
        return address


@admin.register(Vendor)
class VendorAdmin(RecordedAdmin):
    """Whose status pages are read once a minute, and which of our components stand on them."""

    deed = "vendor.changed"
    form = VendorForm
    list_display = ["name", "address", "state_now", "words", "read_at", "problem"]
    filter_horizontal = ["components"]
    readonly_fields = ["state_now", "words", "read_at", "problem"]
    fields = ["name", "address", "watched", "components", *readonly_fields]

    @admin.display(description="state now")
    def state_now(self, vendor: Vendor) -> str:
        state = vendor.state_at(timezone.now())
        return Component.State(state).label if state else "Unknown"

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm, change: bool) -> None:
        """What was read of another address, or of other components, says nothing."""
        if {"address", "watched"} & set(form.changed_data):
            obj.state, obj.words, obj.etag, obj.read_at, obj.asked_at = "", "", "", None, None
        super().save_model(request, obj, form, change)

    def record(self, request: HttpRequest, obj: Any, what: str, **facts: Any) -> None:
        super().record(request, obj, what, called=obj.name, **facts)
        editions.touch(*(f"notice:{code}" for code in obj.notices.values_list("code", flat=True)))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        deleted, counts, missing, kept = super().get_deleted_objects(objs, request)
        if kept:
            kept = ["An incident names this vendor as its cause; what was said stays said."]
        return deleted, counts, missing, kept


@admin.register(Subscriber)
class SubscriberAdmin(ReadOnlyAdmin):
    """Subscribers choose for themselves; staff can only put an end to a subscription, for good."""

    list_display = ["__str__", "way", "hears_of", "floor", "language", "time_zone", "confirmed_at", "left_at"]
    list_filter = [StandingFilter, "way", "is_standing", "floor", "language", "groups", "components"]
    search_fields = ["email", "host"]
    actions = ["put_an_end"]
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("groups", "components", "followed")

    @admin.display(description="hears of")
    def hears_of(self, subscriber: Subscriber) -> str:
        chosen = [*subscriber.groups.all(), *subscriber.components.all()]
        standing = ", ".join(map(str, chosen)) or "the whole page"
        return ", ".join(
            [*([standing] if subscriber.is_standing else []), *(row.ref for row in subscriber.followed.all())]
        )

    def has_end_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("statuspage.change_subscriber")

    @admin.action(description="Tell them nothing more", permissions=["end"])
    def put_an_end(self, request: HttpRequest, chosen: Any) -> None:
        ended = sum(subscriptions.put_an_end(row, by=request.user) for row in chosen)  # type: ignore[arg-type]
        messages.success(request, f"{ended} subscriptions ended.")
