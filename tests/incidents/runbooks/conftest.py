"""The shipped runbooks loaded, a small one of our own, and a run of it."""

import pytest

from incidents.runbooks import actions
from incidents.runbooks.models import Runbook, RunbookRun, RunStep

SMALL = """---
code: restart-api
title: Restart the API
kind: runbook
types: [T01]
repository: https://git.example.com/api/runbook.md
on_call: It hangs. Restart it.
management: A service that hangs is restarted within a minute.
---
## Symptoms
- Requests hang.

## Steps
1. Restart the service.
   ```
   {{ restart }}
   ```
   Expect: the health check passes.
2. Confirm it: {{ errors }}.
   ```
   curl {{ health }} | jq
   ```
   Within: 60 s
3. Tell customers.
"""


@pytest.fixture
def shipped(organisation) -> None:
    actions.load_shipped()


@pytest.fixture
def small(organisation, grace) -> Runbook:
    """Three steps; offered for T01."""
    return actions.write(SMALL, note="First", by=grace).runbook


@pytest.fixture
def run(freezer, declare, small, grace) -> RunbookRun:
    """Of `small`, in INC-1, started by Grace at 14:30."""
    return actions.start(declare(), small, by=grace)


@pytest.fixture
def step(run):
    """`step(2)` is the second step of `run`, as it stands now."""

    def of(position: int) -> RunStep:
        return RunStep.objects.select_related("run").get(run=run, position=position)

    return of
