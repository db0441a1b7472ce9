from django import forms
from django.contrib import admin

from incidents.comms.models import Customer
from irportal.recorded import RecordedAdmin


class CustomerForm(forms.ModelForm):
    class Meta:
        model = Customer
        fields = ["name", "contact_email", "components", "is_active"]
        widgets = {"components": forms.CheckboxSelectMultiple}


@admin.register(Customer)
class CustomerAdmin(RecordedAdmin):
    deed = "customer.changed"
    private = frozenset({"name", "contact_email"})
    form = CustomerForm
    list_display = ["name", "contact_email", "is_active"]
    list_filter = ["is_active", "components"]
    search_fields = ["name", "contact_email"]
