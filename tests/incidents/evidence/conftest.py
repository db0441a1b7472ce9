"""A folder for evidence that is empty at the start of each test, and items to put into it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from incidents.evidence import actions, store
from incidents.evidence.models import EvidenceItem
from incidents.lifecycle.models import Incident
from tests.incidents.evidence.kept import LOG, said


@pytest.fixture(autouse=True)
def folder(settings, tmp_path) -> Path:
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    return settings.EVIDENCE_DIR


@pytest.fixture
def incident(declare, freezer) -> Incident:
    """An agent that misbehaves: T09, commanded by Grace."""
    return declare(type="T09", ai_involved="yes", title="Agent sends refunds twice")


@pytest.fixture
def keep(incident, lee) -> Callable[..., EvidenceItem]:
    """Lee keeps a file (bytes), a text (str) or a link (`url`); name only what the test is about."""

    def make(data: bytes | str = LOG, *, name="guard.log", url="", by=lee, instead_of=None, reason="", **given):
        rest = {"by": by, "instead_of": instead_of, "reason": reason}
        where = given.pop("incident", incident)
        if url or isinstance(data, str):
            content = store.of_link(url) if url else store.of_text(data)
            return actions.receive(where, content, said(**given), **rest)
        with store.received(SimpleUploadedFile(name, data)) as content:
            return actions.receive(where, content, said(**given), **rest)

    return make
