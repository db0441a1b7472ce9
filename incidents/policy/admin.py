"""Policies and the taxonomy, to be looked at."""

from typing import Any

from django.contrib import admin
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
from irportal.recorded import Looked, ReadOnlyAdmin


class Severities(Looked, admin.TabularInline):
    model = SeverityLevel
    fields = ["rank", "label", "name", "definitions", "acknowledge", "contain", "resolve", "enabled"]
    extra = 0


class Notified(Looked, admin.TabularInline):
    model = NotifyRule
    fields = ["rank", "role"]
    extra = 0


class Escalations(Looked, admin.TabularInline):
    model = EscalationRule
    fields = ["rank", "condition", "after", "role"]
    extra = 0


class Approvals(Looked, admin.TabularInline):
    model = ApprovalRule
    fields = ["message_class", "role"]
    extra = 0


class Cells(Looked, admin.TabularInline):
    model = MatrixCell
    fields = ["rank", "audience", "mode", "scope", "override"]
    extra = 0


class Obligations(Looked, admin.TabularInline):
    model = CommObligation
    fields = [
        *("message_class", "mode", "first", "first_if_data_or_ai_harm", "first_if_short_clock", "or_earlier"),
        *("every", "close", "when", "holding"),
    ]
    extra = 0

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("cell")


@admin.register(PolicyVersion)
class PolicyVersionAdmin(ReadOnlyAdmin):
    """Drafts are written and approved on the pages of the portal."""

    list_display = ["__str__", "effective_from", "approved_at", "change_note"]
    list_select_related = ["profile"]
    exclude = ["document"]
    inlines = [Severities, Notified, Escalations, Approvals, Cells, Obligations]


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
