"""The broker of files: what is read is whole, however slowly it was written."""

from pathlib import Path

import pytest
from kombu import Connection

from irportal.celery import app


@pytest.fixture
def queue(tmp_path, request):
    folders = {"data_folder_in": str(tmp_path), "data_folder_out": str(tmp_path), "control_folder": str(tmp_path / "c")}
    assert app.connection("filesystem://localhost").transport.Channel.__module__ == "irportal.broker"
    with (
        Connection("filesystem://localhost", transport_options=folders) as line,
        line.SimpleBuffer(request.node.name) as queue,
    ):
        yield queue


def test_messages_come_whole_and_in_order(queue, tmp_path):
    for number in range(50):  # more than one in a millisecond
        queue.put({"number": number, "word": "ü" * 1000})

    assert [queue.get(timeout=10).payload["number"] for _ in range(50)] == list(range(50))
    assert not list(tmp_path.glob("*.part"))


def test_a_message_that_is_still_being_written_is_not_there_yet(queue, tmp_path, monkeypatch):
    there = []
    write = Path.write_text

    def look(path: Path, text: str) -> int:
        done = write(path, text[:1])
        there.extend(tmp_path.glob("*.msg"))
        return done + write(path, text)

    monkeypatch.setattr(Path, "write_text", look)
    queue.put("hello")

    assert there == []
    assert queue.get(timeout=10).payload == "hello"
