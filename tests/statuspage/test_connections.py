"""The deadlines of a connection, on a clock that stands still until it is moved."""

from types import SimpleNamespace

import pytest

from statuspage.server import BODY_LIMIT, IDLE, READING, REQUEST_WITHIN, Connection

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Transport:
    """What a Connection does to its reader."""

    def __init__(self) -> None:
        self.sent, self.state, self.reading = b"", "open", True

    def set_write_buffer_limits(self, high: int) -> None:
        assert high == 0

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.state = "closed"

    def abort(self) -> None:
        self.state = "aborted"

    def is_closing(self) -> bool:
        return self.state != "open"

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Worker(SimpleNamespace):
    def answer(self, line: bytes, lines: bytes) -> tuple[bytes, bool] | None:
        return (b"ANSWER ", False) if line.startswith(b"GET / ") else None

    def read(self, lines: bytes) -> SimpleNamespace:
        length = lines.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return SimpleNamespace(length=int(length or 0))


@pytest.fixture
def line() -> Connection:
    connection = Connection(Worker(now=1000.0, connections=set(), full=False))
    connection.connection_made(Transport())
    return connection


def after(line: Connection, seconds: float) -> str:
    line.worker.now += seconds
    line.end_if_late(line.worker.now)
    return line.transport.state


def test_who_says_nothing_is_cut_off(line):
    assert after(line, REQUEST_WITHIN) == "open"
    assert after(line, 1) == "aborted"


def test_who_sends_a_letter_now_and_then_gains_no_time(line):
    for letter in GET[:8]:
        line.data_received(bytes([letter]))
        after(line, REQUEST_WITHIN / 8 + 0.1)

    assert line.transport.state == "aborted"


def test_between_requests_a_connection_may_rest_for_longer(line):
    line.data_received(GET)

    assert after(line, IDLE) == "open"
    assert after(line, 1) == "aborted"


def test_when_there_are_too_many_who_rests_makes_room(line):
    line.data_received(GET)
    line.worker.full = True

    assert after(line, 0.5) == "open"
    assert after(line, 1) == "aborted"


def test_when_there_are_too_many_who_is_asking_stays(line):
    line.data_received(GET[:10])
    line.worker.full = True

    assert after(line, 2) == "open"


def test_who_reads_slower_than_we_write_is_read_no_further(line):
    line.data_received(GET)
    line.pause_writing()
    line.data_received(GET + GET)
    assert line.transport.sent == b"ANSWER "
    assert not line.transport.reading

    line.resume_writing()
    assert line.transport.sent == b"ANSWER " * 3
    assert line.transport.reading


def test_who_takes_nothing_of_what_was_sent_is_cut_off(line):
    line.data_received(GET)
    line.pause_writing()

    assert after(line, READING) == "open"
    assert after(line, 1) == "aborted"


def test_a_short_body_is_waited_for_and_a_long_one_is_not(line, monkeypatch):
    handed = []
    monkeypatch.setattr(Connection, "hand_over", lambda self, data: handed.append(data))
    head = b"POST /subscribe HTTP/1.1\r\nContent-Length: %d\r\n\r\n"
    line.data_received(head % 4 + b"ab")
    assert handed == []
    line.data_received(b"cd")
    assert handed == [head % 4 + b"abcd"]

    line.waiting = b""
    line.data_received(head % (BODY_LIMIT + 1))
    assert len(handed) == 2


def test_an_ending_process_lets_who_is_asking_finish(line):
    line.end_if_idle(new_too=False)
    line.data_received(GET[:10])
    line.end_if_idle(new_too=True)
    assert line.transport.state == "open"

    line.data_received(GET[10:])
    line.end_if_idle(new_too=False)
    assert line.transport.state == "closed"
