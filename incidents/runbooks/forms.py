"""What people fill in about runbooks: a text of their own, and what they say of a step."""

from typing import Any

from django import forms

from incidents.lifecycle.forms import SeenForm, UtcField
from incidents.runbooks import actions
from incidents.runbooks.manuscript import LONGEST, Manuscript, Unreadable
from incidents.runbooks.models import Runbook

EXAMPLE = """---
code: restart-workers
title: Restart the workers
kind: runbook
types: [T01, T02]
repository: https://git.example.com/agents/blob/main/docs/restart-workers.md
on_call: The queue grows and nothing takes from it. Restart one worker, look, then the others.
management: When work piles up, the workers are restarted without losing any of it.
---
## Symptoms
- The queue grows.

## Steps
1. Restart one worker.
   ```
   {{ restart }}
   ```
   Expect: it takes work from the queue.
   Within: 60 s
2. Restart the others.
"""


class WriteForm(SeenForm):
    """The text and why it changed. Faults of the text stand line by line on top."""

    source = forms.CharField(
        label="Runbook",
        max_length=2 * LONGEST,  # browsers send two characters for each end of a line
        strip=False,
        widget=forms.Textarea(attrs={"rows": 28, "class": "mono", "spellcheck": "false"}),
        error_messages={"required": "Write the runbook."},
    )
    note = forms.CharField(
        label="What changed, and why?",
        max_length=300,
        error_messages={"required": "Say what changed; it stands in the list of versions."},
    )

    manuscript: Manuscript | None = None

    def __init__(self, *args: Any, runbook: Runbook | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.runbook = runbook

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        try:
            if "source" in cleaned:
                code = self.runbook.code if self.runbook else ""
                _, self.manuscript = actions.check(cleaned["source"], code=code)
        except Unreadable as unreadable:
            self.add_error(None, forms.ValidationError(unreadable.faults))
            self.add_error("source", "Look at the lines named on top.")
        return cleaned


class StepForm(SeenForm):
    """What is said of a step: when, a note, evidence. `seen` is the newest change the person had before them."""

    note = forms.CharField(
        label="Note, or why it is skipped", max_length=2000, required=False, widget=forms.Textarea(attrs={"rows": 3})
    )
    evidence = forms.CharField(label="Evidence: a link or a text", max_length=500, required=False)
    at = UtcField(label="Happened at, UTC", required=False)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["seen"].required = True
        self.fields["seen"].label = "Step"
        self.fields["seen"].error_messages["required"] = "Load the page again; it does not say what you had seen."


class ReasonForm(forms.Form):
    reason = forms.CharField(label="Why?", max_length=300, error_messages={"required": "Say why; an auditor will ask."})
