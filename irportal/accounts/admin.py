"""People: who they are and which roles they have. Passwords, rights and new people are no matter of a form."""

from typing import Any

from allauth.account import admin as library_addresses  # noqa: F401  (registers what is taken out below)
from allauth.account.models import EmailAddress
from django import forms
from django.contrib import admin
from django.contrib.auth import admin as library_groups  # noqa: F401  (the same)
from django.contrib.auth.models import Group
from django.http import HttpRequest

from irportal.accounts.models import User
from irportal.accounts.roles import ROLES
from irportal.recorded import RecordedAdmin

admin.site.unregister(Group)  # what a role may do is code: irportal/accounts/roles.py
admin.site.unregister(EmailAddress)


class PersonForm(forms.ModelForm):
    groups = forms.ModelMultipleChoiceField(
        label="Roles",
        queryset=Group.objects.filter(name__in=ROLES).order_by("pk"),
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text="Admin may open these settings. Without a role a person may sign in and see nothing.",
    )

    class Meta:
        model = User
        fields = ["name", "email", "zone", "groups", "is_active"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "groups" in cleaned and not self._leaves_an_admin(cleaned):
            raise forms.ValidationError("Nobody could open these settings then; make somebody else admin first.")
        return cleaned

    def _leaves_an_admin(self, cleaned: dict[str, Any]) -> bool:
        stays = cleaned.get("is_active") and any(group.name == "admin" for group in cleaned["groups"])
        others = User.objects.filter(is_active=True, groups__name="admin").exclude(pk=self.instance.pk)
        return bool(stays) or others.exists()


@admin.register(User)
class PersonAdmin(RecordedAdmin):
    deed = "person.changed"
    private = frozenset({"name", "email"})
    form = PersonForm
    fields = ["name", "email", "zone", "groups", "is_active"]
    list_display = ["name", "email", "roles", "is_active", "last_login"]
    search_fields = ["name", "email"]
    change_list_template = "admin/people.html"

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description="roles")
    def roles(self, person: User) -> str:
        return ", ".join(group.name for group in person.groups.all()) or "none"

    def subject(self, obj: User) -> str:
        return f"user:{obj.pk}"

    def facts(self, obj: User, form: forms.ModelForm) -> dict[str, Any]:
        said = super().facts(obj, form)
        if "groups" in said:
            del said["groups"]
            said["roles"] = sorted(group.name for group in form.cleaned_data["groups"])
            said["roles_before"] = sorted(obj.groups.values_list("name", flat=True))
        return said

    def save_model(self, request: HttpRequest, obj: User, form: forms.ModelForm, change: bool) -> None:
        """The settings open by the role alone; an address that is no longer theirs signs nobody in."""
        obj.is_staff = any(group.name == "admin" for group in form.cleaned_data["groups"])
        super().save_model(request, obj, form, change)
        EmailAddress.objects.filter(user=obj).exclude(email__iexact=obj.email).delete()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        above = obj is not None and obj.is_superuser and not request.user.is_superuser
        return not above and super().has_change_permission(request, obj)
