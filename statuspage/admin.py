"""Settings of the public page: groups and components can be edited, subscribers only seen and ended."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from irportal.accounts.models import User
from irportal.ledger import actions as ledger
from irportal.outbox.channels import guard
from irportal.recorded import ReadOnlyAdmin, RecordedAdmin
from statuspage import editions, looks, subscriptions
from statuspage.brand_form import BrandForm
from statuspage.models import (
    Brand,
    Choice,
    Component,
    ComponentGroup,
    Customer,
    CustomerAddress,
    GroupChoice,
    MaintenanceComponent,
    Notice,
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


class ComponentForm(forms.ModelForm):
    off_the_page = forms.BooleanField(
        required=False,
        label="take its past off the page",
        help_text="Asked for when a component of the public page becomes private: what the page, its feeds and its "
        "API say of it and of the incidents that hit nothing else goes at once. Mails already sent, texts that name "
        "it in other incidents, and copies others made stay as they are.",
    )

    class Meta:
        model = Component
        fields = ["name", "group", "description", "position", "customer"]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.instance.pk and "customer" in self.changed_data:
            if self.initial.get("customer") is None:
                self._ask_to_hide(cleaned)
            elif NoticeComponent.objects.filter(component=self.instance, notice__resolved_at=None).exists():
                self.add_error(
                    "customer", "An open incident names it and was told to its customer; resolve that first."
                )
        return cleaned

    def _ask_to_hide(self, cleaned: dict[str, Any]) -> None:
        named = Notice.objects.seen_by(None).filter(hits__component=self.instance).distinct().count()
        if named and not cleaned.get("off_the_page"):
            self.add_error(
                "off_the_page", f"{named} incident{'s' * (named > 1)} on the page named it. Tick this if they may."
            )


@admin.register(Component)
class ComponentAdmin(PartAdmin):
    form = ComponentForm
    list_display = ["name", "group", "customer", "position", "state"]
    list_select_related = ["group", "customer"]
    fields = ["name", "group", "description", "position", "customer", "off_the_page"]
    search_fields = ["name"]

    def record(self, request: HttpRequest, obj: Any, what: str, **facts: Any) -> None:
        """What was private and stays so is recorded under another name: nothing public changed, not even when."""
        if obj.customer_id is None or "customer" in facts:
            super().record(request, obj, what, **facts)
            touch = editions.touch_owned if "customer" in facts else editions.touch_component
            touch(obj)
        else:
            by = request.user if isinstance(request.user, User) else None
            ledger.append("private_component.changed", subject=self.subject(obj), by=by, what=what, **facts)

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
        return str(Component.State(state).label) if state else "Unknown"

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


class AddressesField(forms.CharField):
    """One address or domain a line, as a sorted list in lower case."""

    widget = forms.Textarea(attrs={"rows": 4})

    def clean(self, value: Any) -> list[str]:
        found = sorted({line.strip().lower().removeprefix("@") for line in super().clean(value).splitlines()} - {""})
        for line in found:
            try:
                validate_email(line if "@" in line else f"a@{line}")
            except ValidationError as error:
                raise ValidationError(f"{line!r} is neither an address nor a domain such as bank.example.") from error
        return found


class CustomerForm(forms.ModelForm):
    addresses = AddressesField(
        required=False,
        label="who may sign in",
        help_text="One address or domain a line: ann@bank.example, or bank.example for everybody there. They see what "
        "is private to this customer and may ask for mails about it.",
    )

    class Meta:
        model = Customer
        fields = ["name", "contact_email", "components", "addresses", "is_active"]
        widgets = {"components": forms.CheckboxSelectMultiple}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        mine = self.instance.pk and self.instance
        self.fields["components"].queryset = Component.objects.seen_by(mine or None)  # type: ignore[attr-defined]
        if mine:
            self.initial["addresses"] = "\n".join(mine.addresses.values_list("address", flat=True))

    def clean_addresses(self) -> list[str]:
        found: list[str] = self.cleaned_data["addresses"]
        for row in CustomerAddress.objects.filter(address__in=found).exclude(customer=self.instance.pk):
            raise ValidationError(f"{row.address} is another customer's already: {row.customer}.")
        return found


@admin.register(Customer)
class CustomerAdmin(RecordedAdmin):
    deed = "customer.changed"
    private = frozenset({"name", "contact_email", "addresses"})
    form = CustomerForm
    list_display = ["name", "contact_email", "is_active"]
    list_filter = ["is_active", "components"]
    search_fields = ["name", "contact_email"]

    @transaction.atomic
    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        obj.addresses.exclude(address__in=form.cleaned_data["addresses"]).delete()
        there = set(obj.addresses.values_list("address", flat=True))
        for address in form.cleaned_data["addresses"]:
            if address not in there:
                obj.addresses.create(address=address)


@admin.register(Brand)
class BrandAdmin(RecordedAdmin):
    """One row: the list leads to it, or to a form that adds it. Without it the page has the look it comes with."""

    deed = "brand.changed"
    form = BrandForm

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not Brand.objects.exists()

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        brand = looks.current()
        return redirect("admin:statuspage_brand_change", brand.pk) if brand else redirect("admin:statuspage_brand_add")

    def facts(self, obj: Any, form: forms.ModelForm) -> dict[str, Any]:
        """Of a picture its name, which holds a hash of what is in it."""
        changed = [name for name in form.changed_data if name in Brand.PICTURES]
        return super().facts(obj, form) | {name: obj.pictures.get(name, {}).get("name") for name in changed}

    @transaction.atomic
    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm, change: bool) -> None:
        ledger.turn()
        were = list(looks.names())
        chosen = {name: bytes(getattr(obj, name)) for name in Brand.PICTURES}
        obj.pictures = {name: looks.facts_of(content, name) for name, content in chosen.items() if content}
        super().save_model(request, obj, form, change)
        editions.touch_looks(were)

    @transaction.atomic
    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        ledger.turn()
        were = list(looks.names())
        super().delete_model(request, obj)
        editions.touch_looks(were)


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
