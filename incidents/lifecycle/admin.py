from django.contrib import admin

from incidents.lifecycle.models import RoleContact
from irportal.recorded import RecordedAdmin


@admin.register(RoleContact)
class RoleContactAdmin(RecordedAdmin):
    """Who fills a role when an incident is declared; a role without a person is a gap to be seen."""

    deed = "role_contact.changed"
    private = frozenset({"phone", "pager"})
    fields = ["role", "person", "phone", "pager"]
    list_display = ["role", "person", "phone", "pager"]
    list_select_related = ["person"]

    def subject(self, obj: RoleContact) -> str:
        return f"role:{obj.role}"
