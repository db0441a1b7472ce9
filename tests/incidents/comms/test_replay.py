"""A record of past incidents under the default matrix. A slow clock that shares no code with it counts the same."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from incidents.comms import holding, replay
from incidents.policy import actions as policy
from incidents.policy import matrix
from tests.incidents.policy.test_matrix import shipped

ROOT = Path(__file__).resolve().parents[3]
RECORD = ROOT / "tests" / "data" / "public-incidents.jsonl"
MINUTE, START = timedelta(minutes=1), datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
RULES = shipped()
DEFAULT = replay.Policy(RULES, 2 * MINUTE, 2)
GOOD = {
    "impact": "major",
    "components": 1,
    "started_at": "2026-03-02T14:30:00Z",
    "resolved_at": "2026-03-02T15:00:00Z",
    "updates": [["2026-03-02T14:30:00Z", "Investigating"], ["2026-03-02T15:00:00Z", "Resolved"]],
}


def past(rank: int, resolved: float, updates: list[float], *, affected: bool = True) -> replay.PastIncident:
    """An incident that starts at 14:30; the rest in minutes after that."""
    said = [START + minute * MINUTE for minute in updates]
    return replay.PastIncident(rank, affected, START, START + resolved * MINUTE, said)


def counted(*went: replay.Replayed) -> tuple[int, ...]:
    """Ticks due, kept, holding, late; the longest delay and the longest silence in seconds."""
    row = replay.Row.of("", list(went))
    lengths = (int(length.total_seconds()) for length in (row.late_by, row.silence))
    return (row.due, row.kept, row.holding, row.late, *lengths)


# What happened, and by hand: kept, holding, late, the longest delay and the longest silence in minutes.
CASES = {
    "critical, told every 20 min": (1, 40, [0, 20, 40], (7, 0, 0, 0, 20)),
    "told in the due minute": (2, 60, [0, 60], (5, 0, 0, 0, 60)),
    "told a minute after the engine stood in": (2, 61, [0, 61], (5, 2, 0, 0, 60)),
    "told within the grace after two holding messages": (2, 182, [0, 182], (5, 4, 0, 0, 62)),
    "told after the grace": (2, 183, [0, 183], (3, 4, 2, 3, 63)),
    "held, told, held again": (2, 250, [0, 125, 250], (7, 8, 0, 0, 60)),
    "critical, nobody wrote for 100 min": (1, 100, [100], (1, 5, 2, 10, 40)),
    "the engine had the first word": (1, 16, [16], (3, 1, 0, 0, 15)),
    "medium owes nothing": (3, 90, [0, 90], (0, 0, 0, 0, 90)),
    "low owes nothing": (4, 500, [0, 500], (0, 0, 0, 0, 500)),
    "two words in one minute": (1, 10, [0, 0, 10], (7, 0, 0, 0, 10)),
    "a word in the minute of the end": (1, 10, [0, 10, 10], (7, 0, 0, 0, 10)),
    "over at once": (1, 0, [0], (3, 0, 0, 0, 0)),
    "due on the whole minute": (1, 30.25, [0.5, 30.25], (5, 2, 0, 0, 29.5)),
    "closed later, by the time the page promised": (1, 10, [0, 30], (3, 0, 0, 0, 30)),
    "closed later than the page promised": (1, 10, [0, 31], (2, 0, 1, 1, 31)),
    "closed later, by the policy's time": (2, 200, [0, 260], (3, 4, 2, 20, 140)),
    "closed later than the policy's time": (2, 200, [0, 261], (2, 4, 3, 20, 141)),
    "never closed": (1, 10, [0], (2, 0, 1, 0, 10)),
    "never a word": (2, 130, [], (0, 5, 1, 0, 60)),
    "over in silence in the due minute": (2, 60, [0], (2, 2, 1, 0, 60)),
    "over in silence in the minute of a broken promise": (2, 180, [0, 240], (3, 4, 2, 0, 120)),
    "over before the page promised anything": (1, 10, [30], (1, 0, 0, 0, 30)),
    "medium, shown and closed later": (3, 10, [0, 40], (1, 0, 0, 0, 40)),
    "medium, shown and closed too late": (3, 10, [0, 41], (0, 0, 1, 1, 41)),
    "low, and nobody was told": (4, 10, [], (0, 0, 0, 0, 10)),
    "low, told against the policy and closed later": (4, 10, [0, 41], (0, 0, 0, 0, 41)),
}


@pytest.mark.parametrize(("rank", "resolved", "updates", "expected"), CASES.values(), ids=CASES)
def test_each_promise_ends_as_counted_by_hand(rank, resolved, updates, expected):
    _, kept, held, late, late_by, silence = counted(replay.replay(past(rank, resolved, updates), DEFAULT))
    assert (kept, held, late, late_by / 60, silence / 60) == expected


def test_the_first_word_has_no_grace():
    nobody_stands_in = replace(DEFAULT, max_holdings=0)
    assert counted(replay.replay(past(1, 16, [16]), nobody_stands_in)) == (3, 2, 0, 1, 60, 16 * 60)


def test_a_promise_made_once_outlives_the_end_of_the_incident():
    once = matrix.Rules(
        cells={(1, "customers"): ("required", "all")},
        duties={(1, "customers"): [matrix.DutyRule("status_update", first="30m")]},
    )
    assert counted(replay.replay(past(1, 10, [20]), replace(DEFAULT, rules=once))) == (1, 1, 0, 0, 0, 20 * 60)


def test_high_without_a_component_owes_nothing():
    assert counted(replay.replay(past(2, 300, [0, 300], affected=False), DEFAULT)) == (0, 0, 0, 0, 0, 300 * 60)


def test_critical_owes_customers_and_page_without_a_component_too():
    assert counted(replay.replay(past(1, 40, [0, 20, 40], affected=False), DEFAULT))[:2] == (7, 7)


@pytest.mark.django_db
@pytest.mark.parametrize(("rank", "resolved", "updates", "_"), CASES.values(), ids=CASES)
def test_the_engine_itself_ends_every_promise_the_same_way(declare, update, freezer, rank, resolved, updates, _):
    incident = declare(rank=rank)
    for minute in sorted({*range(int(max(updates, default=0))), *range(int(resolved) + 1), *updates, resolved}):
        freezer.move_to(START + minute * MINUTE)
        words = updates.count(minute)
        for word in range(words):
            over = minute > resolved or (minute == resolved and word == words - 1)
            change = {"status": "resolved"} if over else {}
            whom = "customer_text" if rank < 4 else "internal_text"  # nobody outside is told of a low one
            said = {whom: f"Word {word}.", "reason": "Over.", "unapproved": "Nobody is awake."}
            update(incident, **said, **change)
        holding.run_due(timezone.now())
        if minute == resolved and not words:
            update(incident, status="resolved", reason="Over.")
    rows = incident.duties.filter(message_class__in=["status_update", "status_page"]).exclude(outcome="waived")
    really = [
        (row.message_class, row.due_at, "missed" if row.outcome == "open" else row.outcome, row.ended_at)
        for row in rows
    ]
    replayed = replay.replay(past(rank, resolved, updates), DEFAULT).ticks

    assert Counter(really) == Counter(
        (tick.duty.message_class, tick.due_at, tick.outcome, tick.ended_at) for tick in replayed
    )


LENGTHS = {1: (30 * 60, 15 * 60, 30 * 60, 30 * 60), 2: (60 * 60, 30 * 60, 60 * 60, 60 * 60)}  # requirements 1.9


def walk(rank, affected, start, end, said, *, step=60, grace=120, limit=2) -> tuple[int, ...]:
    """What `counted` counts, by a clock that walks through one incident. Everything in whole seconds."""
    mail = page = closing = promised = None
    if rank == 1 or (rank == 2 and affected):
        first_mail, first_page, every, close = LENGTHS[rank]
        mail = {"due": start + first_mail, "grace": 0, "row": 0, "alarm": False}
        page = {"due": start + first_page, "grace": 0, "row": 0, "alarm": False}
    owed = mail is not None
    kept = held = late = late_by = quiet = longest = 0
    resolved = shown = False

    for clock in range(start, max([end, *said]) + 1, step):
        if clock > start:
            quiet += step
        longest = max(longest, quiet)
        words = said.count(clock)

        for word in range(1, words + 1):
            if resolved:  # the closing message, some time after the end
                if closing is not None:
                    if clock <= closing:
                        kept += 1
                    else:
                        late, late_by = late + 1, max(late_by, clock - closing)
                return kept + held + late, kept, held, late, late_by, longest
            shown, quiet = True, 0
            for tick in (mail, page):
                if tick is not None:
                    if clock <= tick["due"] + tick["grace"]:
                        kept += 1
                    else:
                        late, late_by = late + 1, max(late_by, clock - tick["due"])
            if owed:
                mail = {"due": (clock + every) // 60 * 60, "grace": grace, "row": 0, "alarm": False}
                page = dict(mail)
            if clock == end and word == words:
                if owed:
                    kept += 1  # the closing message, in the minute of the end
                return kept + held + late, kept, held, late, late_by, longest

        if owed and not resolved:
            mail_due = mail["due"] <= clock and not mail["alarm"]
            page_due = page["due"] <= clock and not page["alarm"]
            again = {"due": (clock + every) // 60 * 60, "grace": grace, "alarm": False}
            if mail_due and mail["row"] < limit:
                held, quiet, shown = held + 2, 0, True
                mail = again | {"row": mail["row"] + 1}
                page = again | {"row": page["row"] + 1}
            elif page_due and page["row"] < limit:
                held, quiet, shown = held + 1, 0, True
                page = again | {"row": page["row"] + 1}
                if mail_due:
                    mail["alarm"] = True
            else:
                mail["alarm"] = mail["alarm"] or mail_due
                page["alarm"] = page["alarm"] or page_due

        if clock == end:  # and nobody said so
            resolved = True
            if owed:
                if shown:
                    promised = min(mail["due"], page["due"])
                for tick in (mail, page):
                    if tick["due"] <= clock:
                        late, late_by = late + 1, max(late_by, clock - tick["due"])
                closing = clock + close
                if promised is not None and promised > clock:
                    closing = min(closing, promised)
            elif shown and rank < 4:
                closing = clock + 30 * 60
            if not any(at > end for at in said):
                if closing is not None:
                    late += 1
                return kept + held + late, kept, held, late, late_by, longest
    raise AssertionError("the clock walked past the end")


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def walk_line(line: dict, rank: int, affected: bool) -> tuple[int, ...]:
    said = [seconds(at) for at, _ in line["updates"]]
    return walk(rank, affected, seconds(line["started_at"]), seconds(line["resolved_at"]), said)


def summed(walks: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Counts added up; of the two lengths the longest."""
    columns = list(zip(*walks, strict=True))
    return (*map(sum, columns[:4]), *map(max, columns[4:]))


@pytest.fixture(scope="module")
def lines() -> list[dict]:
    read = [json.loads(line) for line in RECORD.read_text().splitlines()]
    return [line for line in read if line["impact"] != "maintenance"]


def as_row(row: dict) -> tuple[int, ...]:
    return tuple(row[name] for name in ("due", "kept", "holding", "late", "late_by", "silence"))


@pytest.fixture
def printed(db, capsys):
    """What the command prints about the whole record, as JSON."""
    policy.load_shipped()
    call_command("replay", str(RECORD), "--json")
    return json.loads(capsys.readouterr().out)


def test_the_whole_record_counts_as_a_slow_clock_counts_it(printed, lines):
    rank_of = {"critical": 1, "major": 2, "minor": 3, "none": 4}
    walks = {1: [], 2: [], 3: [], 4: []}
    for line in lines:
        rank = rank_of[line["impact"]]
        walks[rank].append(walk_line(line, rank, line["components"] > 0))

    assert [as_row(row) for row in printed["severities"]] == [summed(walks[rank]) for rank in (1, 2, 3, 4)]
    assert as_row(printed["total"]) == summed([one for rank in walks for one in walks[rank]])


@pytest.mark.parametrize("rank", [1, 2])
def test_each_incident_of_the_record_graded_worse_counts_as_the_slow_clock_counts_it(lines, rank):
    """Most of the record owes nothing at its own severity; here all of it does."""
    incidents, _ = replay.read(RECORD.read_bytes().splitlines())
    graded = [replace(one, rank=rank, affected=True) for one in incidents]

    assert [counted(replay.replay(one, DEFAULT)) for one in graded] == [walk_line(line, rank, True) for line in lines]


STEP = 20  # seconds; updates, grace and whole minutes meet on it
anywhere = st.integers(0, 5 * 3600 // STEP).map(lambda number: number * STEP)
instants = anywhere | st.integers(0, 20).map(lambda number: number * 15 * 60)  # half of them where things fall due


@effort(max_examples=300, deadline=None)
@given(
    rank=st.sampled_from([1, 2, 3, 4]),
    affected=st.booleans(),
    start=st.integers(0, 2).map(lambda number: number * STEP),
    end=instants,
    said=st.lists(instants, max_size=8).map(sorted),
    told=st.booleans(),
    grace=st.sampled_from([0, 60, 120, 300]),
    limit=st.integers(0, 3),
)
def test_any_incident_counts_as_the_slow_clock_counts_it(rank, affected, start, end, said, told, grace, limit):
    base = int(START.timestamp()) + start
    end, said = base + end, [base + at for at in said]
    if told:
        said = sorted([*(at for at in said if at <= end), end])
    moments = [datetime.fromtimestamp(at, UTC) for at in [base, end, *said]]
    one = replay.PastIncident(rank, affected, moments[0], moments[1], moments[2:])
    under = replay.Policy(RULES, timedelta(seconds=grace), limit)

    assert counted(replay.replay(one, under)) == walk(
        rank, affected, base, end, said, step=STEP, grace=grace, limit=limit
    )


def test_every_tick_due_was_kept_held_or_late_and_the_rows_add_up(printed):
    rows, total = printed["severities"], printed["total"]

    assert [row["due"] for row in rows] == [row["kept"] + row["holding"] + row["late"] for row in rows]
    for count in ("incidents", "owing", "due", "kept", "holding", "late"):
        assert total[count] == sum(row[count] for row in rows)
    assert total["incidents"] + printed["maintenance"] == len(RECORD.read_text().splitlines())


def test_the_guide_shows_what_the_command_prints(db, capsys):
    policy.load_shipped()
    call_command("replay", str(RECORD))

    assert capsys.readouterr().out.strip() in (ROOT / "docs" / "operations.md").read_text()


def test_replaying_only_reads(db, capsys):
    policy.load_shipped()
    with CaptureQueriesContext(connection) as queries:
        call_command("replay", str(RECORD))

    assert {query["sql"].split()[0] for query in queries} == {"SELECT"}
    assert len(queries) == 4


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"impact": "huge"}, "'huge' is no impact"),
        ({"impact": ["major"]}, "is no impact"),
        ({"components": "two"}, "components is 'two'"),
        ({"components": -1}, "components is -1"),
        ({"started_at": "yesterday"}, "'yesterday' is no instant"),
        ({"started_at": "2026-03-02T14:30:00"}, "is no instant"),
        ({"resolved_at": None}, "None is no instant"),
        ({"resolved_at": "9999-12-31T23:59:00Z"}, "is no instant"),
        ({"resolved_at": "2026-03-02T14:29:00Z"}, "resolved before it started"),
        ({"updates": "none"}, "updates is a list of pairs"),
        ({"updates": [["2026-03-02T14:30:00Z"]]}, "updates is a list of pairs"),
        ({"updates": [["soon", "Update"]]}, "'soon' is no instant"),
        ({"updates": [["2026-03-02T14:29:00Z", "Update"]]}, "begin before it started"),
        ({"updates": GOOD["updates"][::-1]}, "not in the order of time"),
    ],
)
def test_a_line_that_cannot_be_meant_is_named_with_its_number(changed, sentence):
    lines = [json.dumps(line).encode() for line in (GOOD, GOOD, GOOD | changed)]
    with pytest.raises(replay.Refused, match=r"^Line 3: ") as refusal:
        replay.read(lines)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_line_without_a_part_is_named_with_its_number(name):
    short = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(replay.Refused, match=rf"^Line 1 has no '{name}'\.$"):
        replay.read([json.dumps(short).encode()])


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_what_is_no_json_object_stops_the_command_before_it_prints(db, tmp_path, capsys, line):
    policy.load_shipped()
    file = tmp_path / "record.jsonl"
    file.write_bytes(b"\n".join([json.dumps(GOOD).encode(), line, b""]))

    with pytest.raises(CommandError, match=r"Line 2: this is not a JSON object\."):
        call_command("replay", str(file))
    assert capsys.readouterr().out == ""


def test_a_file_that_is_not_there_is_named(db):
    policy.load_shipped()
    with pytest.raises(CommandError, match=r"nowhere\.jsonl cannot be read: No such file"):
        call_command("replay", "nowhere.jsonl")


def test_without_a_policy_the_command_says_how_to_load_one(db):
    with pytest.raises(CommandError, match=r"manage\.py load_policy"):
        call_command("replay", str(RECORD))


def test_an_unknown_impact_of_null_is_low():
    (one,), _ = replay.read([json.dumps(GOOD | {"impact": None}).encode()])
    assert one.rank == 4
