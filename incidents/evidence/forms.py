"""What is said of an item of evidence, of a hold, and of the AI."""

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import MaxLengthValidator, URLValidator
from django.http import HttpRequest

from incidents.evidence.actions import MEGABYTE, Said
from incidents.evidence.minimum import Topic
from incidents.evidence.models import AiContext, AiDecision, EvidenceItem
from incidents.evidence.queries import FIELDS, ROW
from incidents.lifecycle.forms import UtcField

LONGEST_TEXT = 200_000  # characters; what is longer is a file


class ReasonForm(forms.Form):
    reason = forms.CharField(label="Why?", max_length=300, error_messages={"required": "Say why; an auditor will ask."})


class PurposeForm(forms.Form):
    purpose = forms.CharField(
        label="What for?", max_length=300, required=False, help_text="Stays in the custody log, with your name."
    )


class ItemForm(forms.Form):
    """What every item has. `instead_of` is an item this one stands in for: its content is kept when none is given."""

    title = forms.CharField(
        label="What is it?",
        max_length=120,
        help_text="For example: Guard log of the chat agent, 14:00 to 14:30.",
        error_messages={"required": "Say in a few words what it is."},
    )
    topics = forms.MultipleChoiceField(
        label="What does it show?",
        choices=Topic.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"invalid_choice": "Choose among what is offered."},
    )
    source = forms.CharField(
        label="Where does it come from?",
        max_length=200,
        help_text="The system, bucket, dashboard or person. An auditor asks for it first.",
        error_messages={"required": "Say which system or person it comes from."},
    )
    captured_at = UtcField(label="Taken there at, UTC", help_text="When the log was cut or the screen was caught.")
    personal = forms.TypedChoiceField(
        label="Can personal data be in it?",
        choices=[("yes", "Yes, or not known"), ("no", "No, somebody looked")],
        coerce=lambda value: value == "yes",
        initial="yes",
        widget=forms.RadioSelect,
        help_text="With personal data only responders and above can read it.",
        error_messages={"required": "Say whether it can; not knowing is a yes."},
    )
    note = forms.CharField(label="Note", max_length=2000, required=False, widget=forms.Textarea(attrs={"rows": 2}))
    content = ""  # the field that holds it

    def __init__(self, *args: Any, instead_of: EvidenceItem | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.instead_of = instead_of
        if instead_of:
            self.fields[self.content].required = False
            kept = f"Leave it empty to keep what {instead_of.ref} holds and only say something else about it."
            self.fields[self.content].help_text = kept
            self.fields["reason"] = forms.CharField(
                label=f"Why does {instead_of.ref} have to be put right?",
                max_length=300,
                error_messages={"required": "Say what was wrong with it."},
            )
            self.order_fields(["reason"])

    def said(self) -> Said:
        names = ("title", "source", "captured_at", "personal", "topics", "note")
        return Said(**{name: self.cleaned_data[name] for name in names})


class FileForm(ItemForm):
    """The page sends `whole` after the file: what broke off on the way does not have it."""

    content = "file"
    file = forms.FileField(label="File", allow_empty_file=True, max_length=None)
    is_too_large = False

    def __init__(self, *args: Any, request: HttpRequest, **options: Any) -> None:
        self.request = request
        super().__init__(*args, **options)
        limit = f"Up to {settings.EVIDENCE_FILE_MB} MB: text and logs, PNG, JPEG, GIF, WebP, PDF, ZIP, gzip, pcap."
        self.fields["file"].help_text = f"{limit} {self.fields['file'].help_text}"
        self.fields["file"].error_messages = self.fields["file"].error_messages | {
            "required": "Choose the file.",
            "invalid": "Choose the file.",
        }

    def clean_file(self) -> UploadedFile | None:
        upload: UploadedFile | None = self.cleaned_data["file"]
        if upload is None:
            return None
        if not upload.size:
            raise forms.ValidationError("The file is empty.")
        if upload.size > settings.EVIDENCE_FILE_MB * MEGABYTE:
            raise forms.ValidationError(self._too_large())
        return upload

    def clean(self) -> dict[str, Any]:
        """What was stopped while it came in is no file any more; say what became of it instead of asking for one."""
        cleaned = super().clean() or {}
        why = {"large": self._too_large, "room": lambda: NO_ROOM}.get(getattr(self.request, "stopped_upload", ""))
        if why or self.data.get("whole") != "yes":
            self.errors.pop("file", None)
            self.add_error("file", why() if why else BROKE_OFF)
        return cleaned

    def _too_large(self) -> str:
        self.is_too_large = True
        return f"The file is larger than {settings.EVIDENCE_FILE_MB} MB. Cut or pack it, or keep a link to it."


BROKE_OFF = "The file broke off on the way and nothing was kept. Choose it again."
NO_ROOM = "There is no room to receive the file. Nothing was kept; tell whoever runs the portal."


class TextForm(ItemForm):
    content = "text"
    text = forms.CharField(
        label="Text",
        max_length=LONGEST_TEXT,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 12, "class": "form-control mono", "spellcheck": "false"}),
        help_text="Kept to the letter, up to 200,000 characters.",
        error_messages={"required": "Paste the text."},
    )

    def clean_text(self) -> str:
        text: str = self.cleaned_data["text"].replace("\r\n", "\n")
        if not text.strip() and not self.instead_of:
            raise forms.ValidationError("Paste the text.")
        return text


class LinkForm(ItemForm):
    content = "url"
    url = forms.CharField(
        label="Address",
        max_length=2000,
        widget=forms.URLInput(attrs={"inputmode": "url"}),
        help_text="Begins with https://. Never opened by the portal; what lies there can change.",
        error_messages={"required": "Give the address."},
    )

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        if not url:
            return url
        try:
            URLValidator(schemes=["https", "http"])(url)
            parts = urlsplit(url)
        except (forms.ValidationError, ValueError):
            raise forms.ValidationError("That is not an address. It begins with https://.") from None
        if "@" in parts.netloc:
            raise forms.ValidationError("The address holds a name or password before the @; take it out.")
        return url


FORMS: dict[str, type[ItemForm]] = {"file": FileForm, "text": TextForm, "link": LinkForm}


class AiContextForm(forms.ModelForm):
    seen = forms.IntegerField(widget=forms.HiddenInput, min_value=0, max_value=2**31 - 1)
    GROUPS = (
        ("Model and route", ("model_before", "model_after", "provider", "route")),
        ("Versions in force", ("prompt_version", "policy_version", "rulepack_version")),
        ("Tools", ("tool_boundary", "tools_in_scope", "tools_out_of_scope")),
        ("Who and what is affected", ("tenants", "use_cases", "endpoints")),
    )

    class Meta:
        model = AiContext
        fields = FIELDS

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["seen"].error_messages["required"] = "Load the page again; it does not say what you had seen."
        for name, field in self.fields.items():
            if isinstance(field.widget, forms.Textarea):
                field.widget.attrs["rows"] = 3
            if name.endswith(("_before", "_after")) and isinstance(field, forms.DecimalField):
                field.widget = forms.TextInput(attrs={"inputmode": "decimal", "size": 12, "autocomplete": "off"})
                field.error_messages["invalid"] = "Write a number such as 412 or 99.3."
                self.initial[name] = self.instance.typed(name)

    def see(self, revision: int) -> None:
        """Everything up to this revision is now on the person's screen."""
        data = self.data.copy()  # type: ignore[attr-defined]  # a QueryDict's own copy keeps lists as lists
        data["seen"] = str(revision)
        self.data = data

    def groups(self) -> list[tuple[str, list[forms.BoundField]]]:
        return [(title, [self[name] for name in names]) for title, names in self.GROUPS]

    def measures(self) -> list[tuple[str, list[forms.BoundField]]]:
        """A row for cost, latency and success rate: before, after, unit."""
        titles = {"cost": "Cost", "latency": "Latency", "success": "Success rate"}
        parts = ("before", "after", "unit")
        return [(titles[name], [self[f"{name}_{part}"] for part in parts]) for name in AiContext.MEASURES]

    def facts(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in FIELDS}


class AiDecisionForm(forms.ModelForm):
    at = UtcField(label="When, UTC", required=False)

    class Meta:
        model = AiDecision
        fields = ROW

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["rationale"].widget.attrs["rows"] = 2
        self.fields["rationale"].validators.append(MaxLengthValidator(2000))
        self.fields["what"].error_messages["required"] = "Say what was decided on."
        self.fields["rationale"].error_messages["required"] = "Say why; a decision without its reason proves nothing."


class DecisionRows(forms.BaseFormSet):
    def add_fields(self, form: forms.Form, index: int | None) -> None:
        super().add_fields(form, index)
        form.fields["DELETE"].label = "Take this decision out"


Decisions = forms.formset_factory(
    AiDecisionForm, formset=DecisionRows, extra=2, max_num=100, absolute_max=120, can_delete=True
)


def rows(formset: Any) -> list[dict[str, Any]]:
    """The valid formset as `actions.save_context` wants it: what stays, in order."""
    return [
        {name: form.cleaned_data[name] for name in ROW}
        for form in formset.forms
        if form.has_changed() or form.initial
        if not form.cleaned_data.get("DELETE")
    ]
