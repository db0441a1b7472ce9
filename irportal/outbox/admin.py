"""What left, what waits and what was refused, to look at."""

from django.contrib import admin

from irportal.outbox.models import Delivery
from irportal.recorded import ReadOnlyAdmin


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ["announcement", "address", "state", "due_at", "accepted_at", "attempts", "last_error"]
    list_filter = ["state", "channel"]
    list_select_related = ["announcement"]
    search_fields = ["address", "announcement__thread"]
    ordering = ["-id"]
    show_full_result_count = False
