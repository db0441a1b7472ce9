"""Settings pages (Django's admin): what may be edited is written down, everything else can only be looked at."""

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from irportal.accounts.models import User
from irportal.ledger import actions as ledger


class RecordedAdmin(admin.ModelAdmin):
    """Each save and delete is an entry in the ledger, whose lock comes before any other.

    The entry names what was changed by subject id. Values of `private` fields (names, addresses) are not written:
    a ledger forgets nothing, and people may ask to be forgotten.
    """

    deed = ""
    private: frozenset[str] = frozenset()

    def subject(self, obj: Any) -> str:
        """Whom or what the entry is about, for example `customer:17`; at most 60 characters."""
        return f"{obj._meta.model_name}:{obj.pk}"

    def facts(self, obj: Any, form: ModelForm) -> dict[str, Any]:
        """What the entry says of a save: the new values of the fields that changed."""
        return {
            name: "changed" if name in self.private else _plain(form.cleaned_data.get(name))
            for name in form.changed_data
        }

    @transaction.atomic
    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm, change: bool) -> None:
        ledger.turn()
        facts = self.facts(obj, form)
        super().save_model(request, obj, form, change)
        self.record(request, obj, "changed" if change else "added", **facts)

    @transaction.atomic
    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.record(request, obj, "deleted")
        super().delete_model(request, obj)

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        for obj in queryset:
            self.delete_model(request, obj)

    def record(self, request: HttpRequest, obj: Any, what: str, **facts: Any) -> None:
        by = request.user if isinstance(request.user, User) else None
        ledger.append(self.deed, subject=self.subject(obj), by=by, what=what, **facts)


def _plain(value: Any) -> Any:
    """A form's value as the ledger can hold it: related rows by id."""
    if isinstance(value, Model):
        return f"{value._meta.model_name}:{value.pk}"
    if isinstance(value, QuerySet):
        return sorted(f"{row._meta.model_name}:{row.pk}" for row in value)
    return value if isinstance(value, bool | int) or value is None else str(value)


class Looked:
    """Rows that can only be looked at."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(Looked, admin.ModelAdmin):
    """A page of rows nobody edits by hand."""
