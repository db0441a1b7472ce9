"""Policies and the taxonomy. An approved version is read-only: incidents are judged by it for ever."""

from typing import Any

from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest

from incidents.policy.models import (
    ApprovalRule,
    CommObligation,
    EscalationRule,
    IncidentType,
    MatrixCell,
    NotifyRule,
    PolicyProfile,
    PolicyVersion,
    SeverityLevel,
)
from irportal.recorded import Looked, ReadOnlyAdmin, RecordedAdmin


class Draft:
    """Rows of a version: to be changed while it is a draft, never added to or taken from."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: PolicyVersion | None = None) -> bool:
        allowed = super().has_change_permission(request, obj)  # type: ignore[misc]
        return allowed and obj is not None and obj.approved_at is None


class Severities(Draft, admin.TabularInline):
    model = SeverityLevel
    fields = ["rank", "label", "name", "definitions", "acknowledge", "contain", "resolve", "enabled"]


class Notified(Draft, admin.TabularInline):
    model = NotifyRule
    fields = ["rank", "role"]


class Escalations(Draft, admin.TabularInline):
    model = EscalationRule
    fields = ["rank", "condition", "after", "role"]


class Approvals(Draft, admin.TabularInline):
    model = ApprovalRule
    fields = ["message_class", "role"]


class Cells(Draft, admin.TabularInline):
    model = MatrixCell
    fields = ["rank", "audience", "mode", "scope", "override"]


class Obligations(Draft, admin.TabularInline):
    model = CommObligation
    fields = [
        *("message_class", "mode", "first", "first_if_data_or_ai_harm", "first_if_short_clock", "or_earlier"),
        *("every", "close", "when", "holding"),
    ]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("cell")


@admin.register(PolicyVersion)
class PolicyVersionAdmin(RecordedAdmin):
    """Versions come from `manage.py load_policy`; here they are read, and drafts are changed."""

    deed = "policy.draft_changed"
    list_display = ["__str__", "effective_from", "approved_at", "change_note"]
    list_select_related = ["profile"]
    readonly_fields = ["profile", "number", "approved_by", "approved_at", "sha256"]
    inlines = [Severities, Notified, Escalations, Approvals, Cells, Obligations]

    def subject(self, obj: PolicyVersion) -> str:
        return f"policy:{obj.profile.name}"[:60]

    def facts(self, obj: PolicyVersion, form: ModelForm) -> dict[str, Any]:
        return {"number": obj.number, **super().facts(obj, form)}

    def save_related(self, request: HttpRequest, form: ModelForm, formsets: Any, change: bool) -> None:
        rows = [str(row.instance) for formset in formsets for row in formset.forms if row.has_changed()]
        if rows:
            self.record(request, form.instance, "rows changed", number=form.instance.number, rows=rows)
        super().save_related(request, form, formsets, change)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: PolicyVersion | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.approved_at is None)

    def has_delete_permission(self, request: HttpRequest, obj: PolicyVersion | None = None) -> bool:
        return False


class Versions(Looked, admin.TabularInline):
    model = PolicyVersion
    fields = ["number", "effective_from", "approved_at", "change_note"]
    extra = 0
    show_change_link = True


@admin.register(PolicyProfile)
class PolicyProfileAdmin(ReadOnlyAdmin):
    list_display = ["name", "is_default"]
    inlines = [Versions]


@admin.register(IncidentType)
class IncidentTypeAdmin(ReadOnlyAdmin):
    list_display = ["code", "name", "family", "suggested_rank", "is_outage", "is_data"]
    list_filter = ["family"]
    search_fields = ["code", "name"]
