"""A service's own commands and links; they fill the placeholders of runbooks."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from incidents.runbooks import placeholders
from incidents.runbooks.models import ServiceCommand, ServiceLink
from irportal.recorded import RecordedAdmin


class ValueAdmin(RecordedAdmin):
    """What was set is named in the record; its text is not, it may hold an address with a token in it."""

    list_display = ["name", "component"]
    list_filter = ["component"]
    list_select_related = ["component__group"]
    search_fields = ["name"]
    offered: dict[str, str]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **options)
        if db_field.name == "name" and field:
            field.help_text = "As it stands between {{ and }} in runbooks. Known: " + ", ".join(
                f"{name} ({label})" for name, label in self.offered.items()
            )
        return field

    def subject(self, obj: Any) -> str:
        return f"service:{obj.component.code if obj.component else 'all'}"


@admin.register(ServiceCommand)
class ServiceCommandAdmin(ValueAdmin):
    deed = "service_command.changed"
    private = frozenset({"text"})
    fields = ["component", "name", "text"]
    list_display = ["name", "component", "text"]
    offered = placeholders.COMMANDS

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "text":
            options["widget"] = forms.Textarea(attrs={"rows": 3, "cols": 80, "spellcheck": "false"})
        return super().formfield_for_dbfield(db_field, request, **options)


@admin.register(ServiceLink)
class ServiceLinkAdmin(ValueAdmin):
    deed = "service_link.changed"
    private = frozenset({"url"})
    fields = ["component", "name", "url"]
    list_display = ["name", "component", "url"]
    offered = placeholders.LINKS
