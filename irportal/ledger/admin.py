"""The record, to look at."""

from django.contrib import admin

from irportal.ledger.models import Entry
from irportal.recorded import ReadOnlyAdmin


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    list_display = ["n", "recorded_at", "deed", "subject"]
    search_fields = ["deed", "subject"]
    ordering = ["-n"]
    show_full_result_count = False
