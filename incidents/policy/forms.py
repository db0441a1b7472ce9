"""What staff fill in about a policy. Each form shows one part of a draft and gives it back whole."""

import copy
from datetime import UTC, datetime
from typing import Any

from django import forms

from incidents.policy import documents, matrix, wording
from incidents.policy.documents import CHECKPOINTS, MODES, RANKS, ROLES, SCOPES, SIGNALS, Document
from incidents.policy.models import PolicyProfile

AMOUNT_HINT = "For example 30 min, 24 h or 3 d."
EMPTY = [("", "Not said")]
SPARE = 3  # empty rows at the end of a list
Group = tuple[str, list[forms.BoundField]]


class AmountField(forms.CharField):
    """A length of time in words: 30 min, 24 h, 3 d, next business day."""

    def __init__(self, label: str, **options: Any) -> None:
        widget = forms.TextInput(attrs={"autocomplete": "off"})
        super().__init__(label=label, required=False, max_length=60, widget=widget, **options)

    def clean(self, value: Any) -> str:
        return documents.typed(super().clean(value))

    def prepare_value(self, value: Any) -> Any:
        known = isinstance(value, str) and documents.AMOUNT.fullmatch(value)
        return matrix.words(value) if known else value


class DraftForm(forms.Form):
    """Carries the revision the person had seen, so that a save by somebody else meanwhile is shown."""

    seen = forms.IntegerField(widget=forms.HiddenInput, error_messages={"required": "Load the page again."})
    was_refused = False

    def see(self, newest: int) -> None:
        """Revision `newest` is now on the person's screen."""
        data = self.data.copy()  # type: ignore[attr-defined]
        data["seen"] = str(newest)
        self.data = data


class PartForm(DraftForm):
    """One part of a draft. `groups` lays it out; `part` is what it says in the document."""

    title, hint, columns = "", "", "halves"

    def __init__(self, *args: Any, document: Document, **options: Any) -> None:
        super().__init__(*args, **options)
        self.document = document
        self.build()
        for name, value in self.said().items():
            self.initial.setdefault(name, value)

    def build(self) -> None:
        """Add the fields this document needs."""

    def said(self) -> dict[str, Any]:
        """What the document says, by field."""
        raise NotImplementedError

    def part(self) -> Document:
        raise NotImplementedError

    def groups(self) -> list[Group]:
        return [("", [field for field in self if not field.is_hidden])]

    def label_of(self, rank: int) -> str:
        return wording.label(self.document, rank)

    def ranks(self) -> list[int]:
        return list(self.document["severities"])


class GeneralForm(PartForm):
    title = "General"
    hint = "What is left empty is not asked for."
    grace = AmountField("Grace of a repeated update", help_text="So little late still counts as kept.")
    holding_max_consecutive = forms.IntegerField(
        label="Holding messages in a row", required=False, min_value=0, max_value=10
    )
    reminder_update = AmountField("Reminder before an update, at most")
    reminder_once = AmountField("Reminder before anything else, at most")
    customer_threshold = forms.CharField(
        label="Agreed threshold for telling customers",
        required=False,
        max_length=200,
        help_text="In words; for cells whose mode is: if over the agreed threshold.",
    )

    def said(self) -> dict[str, Any]:
        names = ("grace", "holding_max_consecutive", "customer_threshold")
        reminder = self.document.get("reminder", {})
        return {name: self.document.get(name) for name in names} | {
            "reminder_update": reminder.get("update"),
            "reminder_once": reminder.get("once"),
        }

    def part(self) -> Document:
        given = self.cleaned_data
        return {
            "grace": given["grace"],
            "holding_max_consecutive": given["holding_max_consecutive"] or 0,
            "customer_threshold": given["customer_threshold"],
            "reminder": {"update": given["reminder_update"], "once": given["reminder_once"]},
        }


class SeveritiesForm(PartForm):
    title = "Severities"
    hint = (
        "Times run from detection. Without a label there is no such severity, and all the policy says of it goes too."
    )
    FIELDS = ("label", "name", "definitions", "acknowledge", "page_within", "contain", "resolve", "enabled")

    def build(self) -> None:
        for rank in RANKS:
            made = {
                "label": forms.CharField(label="Label", max_length=10, required=False),
                "name": forms.CharField(label="Name", max_length=30, required=False),
                "definitions": forms.CharField(
                    label="Definition, one line each",
                    required=False,
                    max_length=2000,
                    widget=forms.Textarea(attrs={"rows": 4}),
                ),
                "acknowledge": AmountField("Acknowledge in", help_text="Or: end of the next business day."),
                "page_within": AmountField("Page leaves in"),
                "contain": AmountField("Contain in"),
                "resolve": AmountField("Resolve in"),
                "enabled": forms.BooleanField(label="Incidents can be declared with it", required=False),
            }
            self.fields |= {f"{name}_{rank}": field for name, field in made.items()}

    def said(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for rank in RANKS:
            row = self.document["severities"].get(rank, {})
            found |= {f"{name}_{rank}": row.get(name, "") for name in self.FIELDS}
            found[f"definitions_{rank}"] = "\n".join(row.get("definitions", []))
            found[f"enabled_{rank}"] = row.get("enabled", True)
        return found

    def groups(self) -> list[Group]:
        return [(f"Severity {rank}", [self[f"{name}_{rank}"] for name in self.FIELDS]) for rank in RANKS]

    def part(self) -> Document:
        levels = {}
        for rank in RANKS:
            row = {name: self.cleaned_data[f"{name}_{rank}"] for name in self.FIELDS}
            if row["label"]:
                levels[rank] = row | {"definitions": lines(row["definitions"])}
        kept = {
            part: {rank: row for rank, row in self.document[part].items() if rank in levels}
            for part in documents.RANKED
            if part in self.document
        }
        return {"severities": levels} | kept


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


DUTY_LABELS = {
    "mode": "Mode of its own",
    "first": "First after",
    "first_if_data_or_ai_harm": "First for data or AI harm after",
    "first_if_short_clock": "First, if a law gives 6 h or less, after",
    "or_earlier": "Sooner if a law says so",
    "every": "Then every",
    "daily_once_contained": "Once contained, daily at",
    "close": "Closing message after",
    "when": "Only if personal data is involved",
    "holding": "Holding message if nobody wrote",
}


class CellForm(PartForm):
    """One cell of the matrix, with every class of message its audience may be owed."""

    mode = forms.ChoiceField(label="Mode", choices=[("", "The policy says nothing"), *MODES.items()], required=False)
    scope = forms.ChoiceField(label="Who", choices=list(SCOPES.items()), required=False)
    override = forms.BooleanField(label="With mode none: possible all the same, with a reason", required=False)
    note = forms.CharField(label="Note", max_length=120, required=False, help_text="What no number says.")
    ASKED = {  # of each class; anything else only where the policy says it already
        "status_update": ("first", "every", "close", "holding"),
        "incident_notice": ("first", "or_earlier"),
        "breach_notice": ("first", "or_earlier", "when"),
        "regulator_decision": ("first", "first_if_data_or_ai_harm", "first_if_short_clock"),
        "status_page": ("first", "every", "close", "holding"),
        "public_statement": ("mode", "first"),
        "internal_update": ("first", "every", "daily_once_contained", "close"),
        "internal_summary": ("close",),
        "board_notice": ("mode", "first"),
    }

    def __init__(self, *args: Any, rank: int, audience: str, **options: Any) -> None:
        self.rank, self.audience = rank, audience
        super().__init__(*args, **options)

    @property
    def name(self) -> str:
        return f"{self.label_of(self.rank)}, {wording.AUDIENCES[self.audience].lower()}"

    def build(self) -> None:
        for duty in documents.CLASSES[self.audience]:
            self.fields[f"{duty}-owed"] = forms.BooleanField(label="Owed", required=False)
            self.fields |= {f"{duty}-{name}": self.field_for(name) for name in self.names(duty)}

    def names(self, message_class: str) -> list[str]:
        known: Document = next((row for row in self.cell.get("duties", []) if row["class"] == message_class), {})
        return [
            name for name in documents.DUTY_PARTS if name in (*self.ASKED[message_class], *known) and name != "class"
        ]

    @staticmethod
    def field_for(name: str) -> forms.Field:
        label = DUTY_LABELS[name]
        if name in ("or_earlier", "when", "holding"):
            return forms.BooleanField(label=label, required=False)
        if name == "mode":
            return forms.ChoiceField(label=label, choices=[("", "The cell's"), *MODES.items()], required=False)
        if name == "daily_once_contained":
            return forms.CharField(label=label, max_length=5, required=False, help_text="For example 17:00.")
        return AmountField(label)

    @property
    def cell(self) -> Document:
        return self.document.get("matrix", {}).get(self.rank, {}).get(self.audience, {})

    def said(self) -> dict[str, Any]:
        found = {name: self.cell.get(name) for name in ("mode", "note")}
        found |= {"scope": self.cell.get("scope", "all"), "override": bool(self.cell.get("override"))}
        for duty in self.cell.get("duties", []):
            found[f"{duty['class']}-owed"] = True
            found |= {f"{duty['class']}-{name}": value for name, value in duty.items() if name != "class"}
        return found

    def groups(self) -> list[Group]:
        shared = [self[name] for name in ("mode", "scope", "note", "override")]
        duties = [
            (wording.CLASSES[name], [field for field in self if field.name.startswith(f"{name}-")])
            for name in documents.CLASSES[self.audience]
        ]
        return [("", shared), *duties]

    def part(self) -> Document:
        given = self.cleaned_data
        ranks = copy.deepcopy(self.document.get("matrix", {}))
        cells = ranks.setdefault(self.rank, {})
        cells.pop(self.audience, None)
        said = {name: given[name] for name in ("mode", "scope", "note")}
        said["override"] = "reason_required" if given["override"] else ""
        said["duties"] = [self._duty(name) for name in documents.CLASSES[self.audience] if self._is_owed(name)]
        if said["scope"] != "all" or any(value for name, value in said.items() if name != "scope"):
            cells[self.audience] = said
        return {"matrix": {rank: row for rank, row in ranks.items() if row}}

    def _is_owed(self, message_class: str) -> bool:
        """Ticked, or something was typed into it: nothing typed is dropped in silence."""
        return any(self.cleaned_data[f"{message_class}-{name}"] for name in ["owed", *self.names(message_class)])

    def _duty(self, message_class: str) -> Document:
        said = {name: self.cleaned_data[f"{message_class}-{name}"] for name in self.names(message_class)}
        ticked = {"or_earlier": matrix.EARLIEST_LAW, "when": "personal_data"}
        said |= {name: value if said[name] else "" for name, value in ticked.items() if name in said}
        return {"class": message_class} | said


class RolesField(forms.MultipleChoiceField):
    def __init__(self, label: str) -> None:
        choices = [(name, wording.role(name)) for name in ROLES]
        super().__init__(label=label, required=False, choices=choices, widget=forms.CheckboxSelectMultiple)


def in_order(before: list[str], chosen: list[str]) -> list[str]:
    """The roles chosen: those that were there in their order, then the new ones."""
    return [name for name in before if name in chosen] + [name for name in chosen if name not in before]


class NotifyForm(PartForm):
    title = "Told at once"
    hint = "Whom the declaration calls. The AI lead only where AI plays a part, the security lead only for security."
    columns = ""

    def build(self) -> None:
        self.fields |= {f"told_{rank}": RolesField(self.label_of(rank)) for rank in self.ranks()}

    def said(self) -> dict[str, Any]:
        return {f"told_{rank}": roles for rank, roles in self.document.get("notify_on_declare", {}).items()}

    def part(self) -> Document:
        before = self.document.get("notify_on_declare", {})
        return {
            "notify_on_declare": {
                rank: in_order(before.get(rank, []), self.cleaned_data[f"told_{rank}"]) for rank in self.ranks()
            }
        }


class ApprovalsForm(PartForm):
    title = "Approvals"
    hint = "Every role ticked must approve the same text, none of them its author. Without a tick nobody need."
    columns = ""

    def build(self) -> None:
        self.fields |= {name: RolesField(wording.CLASSES[name]) for name in documents.APPROVED}

    def said(self) -> dict[str, Any]:
        return dict(self.document.get("approvals", {}))

    def part(self) -> Document:
        before = self.document.get("approvals", {})
        return {
            "approvals": {name: in_order(before.get(name, []), self.cleaned_data[name]) for name in documents.APPROVED}
        }


class RowsForm(PartForm):
    """A list of rows and a few empty ones; an emptied row goes."""

    columns = "row"
    noun = "Row"

    def rows(self) -> list[dict[str, Any]]:
        raise NotImplementedError

    def row_fields(self) -> dict[str, forms.Field]:
        raise NotImplementedError

    def build(self) -> None:
        self.count = len(self.rows()) + SPARE
        for n in range(self.count):
            self.fields |= {f"{name}_{n}": field for name, field in self.row_fields().items()}

    def said(self) -> dict[str, Any]:
        return {f"{name}_{n}": value for n, row in enumerate(self.rows()) for name, value in row.items()}

    def groups(self) -> list[Group]:
        names = list(self.row_fields())
        return [(f"{self.noun} {n + 1}", [self[f"{name}_{n}"] for name in names]) for n in range(self.count)]

    def filled(self) -> list[dict[str, Any]]:
        """The rows somebody filled; a half-filled one is refused beside what it lacks."""
        names = list(self.row_fields())
        found = ({name: self.cleaned_data.get(f"{name}_{n}") for name in names} for n in range(self.count))
        return [row for row in found if any(row.values())]

    needed: tuple[str, ...] = ()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for n in range(self.count):
            row = {name: cleaned.get(f"{name}_{n}") for name in self.row_fields()}
            for name in self.needed:
                if any(row.values()) and not row[name] and f"{name}_{n}" not in self.errors:
                    self.add_error(f"{name}_{n}", "Fill this in too, or empty the row.")
        return cleaned


class EscalationsForm(RowsForm):
    title = "Called later"
    hint = "Who is called while an incident stays unacknowledged, or unresolved. Times run from its declaration."
    noun, needed = "Call", ("rank", "condition", "role", "after")
    PARTS = {"unacknowledged": "unacknowledged_page", "unresolved": "escalate_if_unresolved"}

    def rows(self) -> list[dict[str, Any]]:
        return [
            {"rank": rank, "condition": condition, "role": name, "after": after}
            for condition, part in self.PARTS.items()
            for rank, called in self.document.get(part, {}).items()
            for name, after in called.items()
        ]

    def row_fields(self) -> dict[str, forms.Field]:
        ranks = [(rank, self.label_of(rank)) for rank in self.ranks()]
        return {
            "rank": forms.TypedChoiceField(
                label="Severity", choices=[("", "None"), *ranks], coerce=int, empty_value=None, required=False
            ),
            "condition": forms.ChoiceField(
                label="While",
                choices=[("", "Not said"), *((name, name.capitalize()) for name in self.PARTS)],
                required=False,
            ),
            "role": forms.ChoiceField(
                label="Role", choices=EMPTY + [(name, wording.role(name)) for name in ROLES], required=False
            ),
            "after": AmountField("After"),
        }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        seen = set()
        for n in range(self.count):
            key = tuple(cleaned.get(f"{name}_{n}") for name in ("rank", "condition", "role"))
            if all(key) and key in seen:
                self.add_error(f"role_{n}", "This role is called for this already, in a row above.")
            seen.add(key)
        return cleaned

    def part(self) -> Document:
        found: Document = {part: {} for part in self.PARTS.values()}
        for row in self.filled():
            found[self.PARTS[row["condition"]]].setdefault(row["rank"], {})[row["role"]] = row["after"]
        return found


class ThresholdsForm(RowsForm):
    title = "Thresholds"
    hint = "Above its value a signal suggests a severity, or only alerts. A person decides."
    noun, needed = "Threshold", ("signal", "gt")

    def rows(self) -> list[dict[str, Any]]:
        return list(self.document.get("thresholds", []))

    def row_fields(self) -> dict[str, forms.Field]:
        ranks = [(rank, self.label_of(rank)) for rank in self.ranks()]
        return {
            "signal": forms.ChoiceField(label="Signal", choices=EMPTY + list(SIGNALS.items()), required=False),
            "gt": forms.FloatField(
                label="Above", required=False, widget=forms.TextInput(attrs={"inputmode": "decimal", "size": 8})
            ),
            "suggests": forms.TypedChoiceField(
                label="Suggests", choices=[("", "Only alerts"), *ranks], coerce=int, empty_value=None, required=False
            ),
        }

    def part(self) -> Document:
        return {"thresholds": [row | {"gt": documents.number(row["gt"])} for row in self.filled()]}


class GateForm(PartForm):
    title = "Before Resolved"
    hint = "Asked before an incident is resolved; whoever resolves it sooner says why."
    columns = ""
    monitoring = AmountField("Time in Monitoring", help_text=AMOUNT_HINT)
    conditions = forms.CharField(
        label="Must be true, one line each", required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 4})
    )
    ticks = forms.CharField(
        label="Must be ticked, one line each", required=False, max_length=4000, widget=forms.Textarea(attrs={"rows": 7})
    )

    def said(self) -> dict[str, Any]:
        gate = self.document.get("resolve_gate", {})
        return {
            "monitoring": gate.get("monitoring"),
            "conditions": "\n".join(gate.get("conditions", [])),
            "ticks": "\n".join(gate.get("ticks", [])),
        }

    def part(self) -> Document:
        given = self.cleaned_data
        return {
            "resolve_gate": {
                "monitoring": given["monitoring"],
                "conditions": lines(given["conditions"]),
                "ticks": lines(given["ticks"]),
            }
        }


class CheckpointsForm(PartForm):
    title = "Checkpoints"
    hint = f"How far an incident should be, from detection. They warn and block nothing. {AMOUNT_HINT}"

    def build(self) -> None:
        for rank in self.ranks():
            self.fields |= {f"{name}_{rank}": AmountField(label) for name, label in CHECKPOINTS.items()}

    def said(self) -> dict[str, Any]:
        points = self.document.get("checkpoints", {})
        return {f"{name}_{rank}": after for rank, row in points.items() for name, after in row.items()}

    def groups(self) -> list[Group]:
        return [(self.label_of(rank), [self[f"{name}_{rank}"] for name in CHECKPOINTS]) for rank in self.ranks()]

    def part(self) -> Document:
        points = {
            rank: {name: after for name in CHECKPOINTS if (after := self.cleaned_data[f"{name}_{rank}"])}
            for rank in self.ranks()
        }
        return {"checkpoints": {rank: row for rank, row in points.items() if row}}


PARTS: dict[str, type[PartForm]] = {
    "severities": SeveritiesForm,
    "approvals": ApprovalsForm,
    "told": NotifyForm,
    "called": EscalationsForm,
    "thresholds": ThresholdsForm,
    "resolved": GateForm,
    "checkpoints": CheckpointsForm,
    "general": GeneralForm,
}


# What is done with a version


class CloneForm(forms.Form):
    into = forms.SlugField(
        label="Into which profile?",
        max_length=50,
        help_text="The name of one that is there, or of a new one: small letters, digits and dashes.",
        error_messages={
            "required": "Say into which profile.",
            "invalid": "Write small letters, digits and dashes only.",
        },
    )

    def clean_into(self) -> str:
        name = self.cleaned_data["into"]
        place = documents.Place()
        documents.slug(place, name)
        if place.faults:
            raise forms.ValidationError(place.faults[0].why)
        return name


class SubmitForm(DraftForm):
    change_note = forms.CharField(
        label="Why does this change?",
        max_length=300,
        help_text="One sentence; an auditor will read it.",
        error_messages={"required": "Say in one sentence why; an auditor will read it."},
    )


class ReasonForm(forms.Form):
    reason = forms.CharField(label="Why?", max_length=300, error_messages={"required": "Say why; an auditor will ask."})


class ApproveForm(forms.Form):
    sha256 = forms.CharField(widget=forms.HiddenInput, max_length=64, label="What you read")
    effective_from = forms.CharField(
        label="In force from, UTC",
        max_length=25,
        required=False,
        help_text="Empty means at once; else for example 2026-03-05 08:00.",
    )

    def clean_effective_from(self) -> datetime | None:
        said = self.cleaned_data["effective_from"]
        try:
            return datetime.strptime(said, "%Y-%m-%d %H:%M").replace(tzinfo=UTC) if said else None
        except ValueError:
            raise forms.ValidationError("That is not a time. Write 2026-03-05 08:00, in UTC.") from None


class DefaultForm(ReasonForm):
    profile = forms.ModelChoiceField(
        label="Which profile should new incidents take?",
        queryset=PolicyProfile.objects.none(),
        empty_label="Choose a profile",
        error_messages={
            "required": "Choose a profile.",
            "invalid_choice": "Choose a profile from the list; one with an approved version in force.",
        },
    )
    field_order = ["profile", "reason"]

    def __init__(self, *args: Any, now: datetime, **options: Any) -> None:
        super().__init__(*args, **options)
        known = PolicyProfile.objects.filter(
            is_default=False, versions__approved_at__isnull=False, versions__effective_from__lte=now
        )
        self.fields["profile"].queryset = known.distinct()  # type: ignore[attr-defined]
