"""The post-mortem as a form, and its action items as rows below it."""

from typing import Any

from django import forms
from django.core.validators import MaxLengthValidator

from incidents.lifecycle.models import Incident
from incidents.postmortems import queries
from incidents.postmortems.models import ActionItem, PostMortem
from irportal.accounts.models import User

AI_FIELDS = ("ai_model", "ai_route", "ai_versions", "ai_decisions", "ai_tenants")
LONGEST = 20_000  # characters in one box; ten printed pages
TALL = ("root_cause", "response", "summary")

# The headings of the page: what belongs together stands together. What is estimated stands beside its number.
GROUPS = [
    ("What happened", ["summary", "detection"]),
    ("Cause", ["root_cause", "cause_class", "contributing_factors", "controls", "five_whys"]),
    (
        "Impact",
        [
            *("users_affected", "users_percent", "users_estimated", "failed_requests", "requests_estimated"),
            *("revenue_impact", "revenue_estimated", "financial_impact", "financial_estimated"),
            *("data_impact", "customer_impact", "regulatory_impact", "brand_impact"),
        ],
    ),
    ("Response", ["response", "recovery"]),
    ("AI context", list(AI_FIELDS)),
    ("What to learn", ["went_well", "went_wrong", "could_improve", "no_lists_reason", "lessons"]),
    ("Follow-up", ["followup_meeting_at", "followup_attendees", "customer_record", "tracker"]),
]


class PostMortemForm(forms.ModelForm):
    class Meta:
        model = PostMortem
        fields = queries.CONTENT
        labels = {
            "went_well": "What went well",
            "went_wrong": "What went wrong",
            "could_improve": "What could be improved",
        }
        widgets = {"followup_meeting_at": forms.DateTimeInput({"type": "datetime-local"}, "%Y-%m-%dT%H:%M")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.incident.ai_involved != Incident.Known.YES:
            for name in AI_FIELDS:
                del self.fields[name]
        for name, field in self.fields.items():
            if isinstance(field.widget, forms.Textarea):
                field.widget.attrs["rows"] = 5 if name in TALL else 3
                field.validators.append(MaxLengthValidator(LONGEST))
        self.fields["users_percent"].widget.attrs["step"] = "any"

    def groups(self) -> list[tuple[str, list[forms.BoundField]]]:
        """The fields under their headings, without headings that would stand alone."""
        found = [(title, [self[name] for name in names if name in self.fields]) for title, names in GROUPS]
        return [(title, fields) for title, fields in found if fields]


class ActionItemForm(forms.ModelForm):
    class Meta:
        model = ActionItem
        fields = ("action", "type", "owner", "priority", "due_on", "status", "evidence")
        widgets = {"due_on": forms.DateInput({"type": "date"}, "%Y-%m-%d")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        owner = self.fields["owner"]
        if isinstance(owner, forms.ModelChoiceField):
            owner.queryset = User.objects.filter(is_active=True)


ActionItems = forms.inlineformset_factory(
    PostMortem, ActionItem, form=ActionItemForm, extra=2, max_num=100, can_delete=True
)


def rows(formset: Any) -> list[dict[str, Any]]:
    """The valid formset as `actions.save_draft` wants it: what stays, in order."""
    return [
        {name: form.cleaned_data[name] for name in ActionItemForm.Meta.fields} | {"id": form.instance.pk}
        for form in formset.forms
        if form.has_changed() or form.instance.pk
        if not form.cleaned_data.get("DELETE")
    ]
