"""The site as plain files."""

from datetime import timedelta
from gzip import decompress

import pytest
from django.core.management import call_command
from django.utils import timezone

from statuspage import plain
from statuspage.models import Document, Notice
from tests.statuspage.factories import component, past_incident, publish

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("new_process")]


@pytest.fixture
def folder(tmp_path, freezer):
    publish("investigating", (component("Agent API"), "major_outage"))
    past_incident("INC-1", started_at=timezone.now() - timedelta(days=40))
    call_command("publish", to=tmp_path / "www")
    return tmp_path / "www"


def test_every_document_is_a_file_with_its_packed_forms(folder):
    for document in Document.objects.exclude(status=301):
        file = folder / plain.file_of(document.path)
        assert file.read_bytes() == bytes(document.body)
        assert int(file.stat().st_mtime) == document.modified
        if document.gzip is not None:
            assert decompress(file.with_name(f"{file.name}.gz").read_bytes()) == bytes(document.body)
    assert {"index.html", "history.html", "404.html", "incidents", "api", "static"} <= {
        one.name for one in folder.iterdir()
    }


def test_a_short_address_is_a_page_that_leads_on(folder):
    code = Notice.objects.get(ref="INC-42").code

    assert f'content="0;url=/incidents/{code}"' in (folder / "i" / "INC-42.html").read_text()


def test_a_second_run_writes_only_what_changed(folder, capsys):
    call_command("publish", to=folder)
    assert "0 files written" in capsys.readouterr().out

    publish("identified", body="A cable was cut.")
    call_command("publish", to=folder)
    old = Notice.objects.get(ref="INC-1").code
    assert "A cable was cut." in (folder / "index.html").read_text()
    assert f"incidents/{old}" not in capsys.readouterr().out


def test_what_is_gone_is_removed_and_nothing_else(folder):
    (folder / "robots.txt").write_text("User-agent: *")
    Document.objects.filter(path="/history").delete()
    call_command("publish", to=folder)

    assert not (folder / "history.html").exists()
    assert not (folder / "history.html.gz").exists()
    assert (folder / "robots.txt").exists()


def test_no_path_leads_out_of_the_folder():
    with pytest.raises(ValueError):
        plain.file_of("/i/../../etc/passwd")
