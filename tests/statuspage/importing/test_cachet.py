"""Cachet's dumps and answers, in their real shapes: what everybody saw there, and nothing else."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from statuspage.importing import sql
from statuspage.models import Component, ComponentGroup, Notice
from tests.receiver import Answer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("freezer")]
DATA = Path(__file__).parent / "data"
STEPS = [
    ("investigating", "2026-02-10 09:00"),
    ("monitoring", "2026-02-10 09:40"),
    ("resolved", "2026-02-10 10:00"),
]


def given(*names: str) -> dict[str, bytes]:
    return {name: (DATA / name).read_bytes() for name in names}


VERSION_2 = given("cachet2-incidents.json", "cachet2-components.json", "cachet2-groups.json")
VERSION_3 = given("cachet3-incidents.json", "cachet3-groups.json")
DUMP = given("cachet2.sql")


def steps(notice: Notice) -> list[tuple[str, str]]:
    """Stage and instant of each update, oldest first."""
    return [(u.status, f"{u.display_at:%Y-%m-%d %H:%M}") for u in reversed(notice.updates.all())]


@pytest.mark.parametrize("source", [DUMP, VERSION_2, VERSION_3], ids=["dump", "version 2", "version 3"])
def test_an_incident_comes_with_its_updates_and_components(take_over, source):
    take_over(source, "--write")
    notice = Notice.objects.get(title="Mail is late")

    assert steps(notice) == STEPS
    assert notice.resolved_at == datetime(2026, 2, 10, 10, tzinfo=UTC)
    assert [hit.component.full_name for hit in notice.hits.all()] == ["Platform - Mail"]


@pytest.mark.parametrize("source", [DUMP, VERSION_2, VERSION_3], ids=["dump", "version 2", "version 3"])
def test_what_not_everybody_saw_stays_there(take_over, source):
    said = take_over(source, "--write")
    titles = set(Notice.objects.values_list("title", flat=True))

    assert titles <= {"Mail is late", "Short outage"}
    assert "not everybody saw it" in said
    assert not Component.objects.filter(name__in=["Payroll", "Fax", "Old mail"]).exists()
    assert not ComponentGroup.objects.filter(name="Back office").exists()


def test_a_dump_read_as_it_was_written(take_over):
    take_over(DUMP, "--write")
    late, short = Notice.objects.get(title="Mail is late"), Notice.objects.get(title="Short outage")
    bodies = [update.body for update in late.updates.all()]

    assert bodies[-1] == 'Mails wait; we look (why?).\nMore soon: it\'s the "relay".'
    assert bodies[0] == "All mails have left.\nINSERT INTO `chq_incidents` VALUES (99);"
    assert short.updates.all()[1].body == "A switch was **restarted**."
    assert Component.objects.get(name="Mail").description == "Sends; and 'receives' mail"
    assert late.updates.all()[2].created_at == datetime(2026, 2, 10, 9, 5, tzinfo=UTC)


def test_what_was_fixed_without_a_word_ended_when_it_was_last_changed(take_over):
    take_over(DUMP, "--write")

    assert steps(Notice.objects.get(title="Short outage")) == [
        ("investigating", "2026-02-11 09:00"),
        ("resolved", "2026-02-11 09:20"),
    ]


def test_the_impact_follows_from_the_worst_state_it_gave_a_component_everybody_saw(take_over):
    take_over(DUMP, "--write")

    assert dict(Notice.objects.values_list("title", "impact")) == {"Mail is late": "major", "Short outage": "none"}


def test_refused_rows_are_named_with_their_line(take_over):
    said = take_over(DUMP)

    assert "cachet2.sql line 37, 22 Odd: its stage 9 is unknown" in said
    assert "cachet2.sql line 37, 21 Search is slow: it is not resolved there" in said
    assert "cachet2.sql line 19, component 3: not everybody saw it" in said


def test_instants_are_those_of_the_clock_it_was_written_by(take_over):
    take_over(DUMP, "--write", "--time-zone=America/New_York")

    assert Notice.objects.get(title="Mail is late").started_at == datetime(2026, 2, 10, 14, tzinfo=UTC)


def test_a_dump_and_the_interface_of_the_same_page_are_the_same(take_over):
    take_over(given("cachet2-incidents.json", "cachet2-components.json", "cachet2-groups.json"), "--write")
    codes = set(Notice.objects.values_list("code", flat=True))
    take_over({"3.json": VERSION_3["cachet3-incidents.json"], "4.json": VERSION_3["cachet3-groups.json"]}, "--write")

    assert set(Notice.objects.values_list("code", flat=True)) == codes


@pytest.mark.parametrize(
    ("start", "answers"),
    [
        (
            "/api/v1",
            {
                "ping": {"data": "Pong!"},
                "components/groups?per_page=100&page=1": VERSION_2["cachet2-groups.json"],
                "components?per_page=100&page=1": VERSION_2["cachet2-components.json"],
                "incidents?per_page=100&page=1": VERSION_2["cachet2-incidents.json"],
            },
        ),
        (
            "/api",
            {
                "component-groups?per_page=100&page=1": VERSION_3["cachet3-groups.json"],
                "components?per_page=100&page=1&include=group": {"data": []},
                "incidents?per_page=100&page=1&include=components,updates": VERSION_3["cachet3-incidents.json"],
            },
        ),
    ],
)
def test_its_interface_is_asked_with_the_token_of_the_environment(take_over, receiver, monkeypatch, start, answers):
    monkeypatch.setenv("IMPORT_TOKEN", "s3cret")
    receiver.found = {
        f"{start}/{path}": Answer(body=data if isinstance(data, bytes) else json.dumps(data).encode())
        for path, data in answers.items()
    }
    said = take_over(receiver.url(""), "--from=cachet", "--write")

    assert steps(Notice.objects.get()) == STEPS
    assert {asked.headers["X-Cachet-Token"] for asked in receiver.posted} == {"s3cret"}
    assert {asked.headers["Authorization"] for asked in receiver.posted} == {"Bearer s3cret"}
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("dump", "found"),
    [
        ("INSERT INTO `t` (`a`, `b`) VALUES (1,'x'),(2,'y');", [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        ("INSERT INTO `t` (`a`) VALUES ('it\\'s; (a) ''b'' \\\\ \\n');", [{"a": "it's; (a) 'b' \\ \n"}]),
        ("INSERT INTO \"t\" (\"a\") VALUES ('C:\\new ''x''');", [{"a": "C:\\new 'x'"}]),
        ("INSERT INTO public.t (a, b) VALUES (NULL, true);", [{"a": None, "b": 1}]),
        ("INSERT INTO t VALUES (1, 2);", []),
        ("INSERT INTO t (a, b) VALUES (1);", []),
        ("INSERT INTO t (a) VALUES (CAST(1, 2)), (-1.5);", [{"a": "CAST"}, {"a": -1.5}]),
        ("INSERT INTO `t` (`a`) VALUES ('never ends", []),
    ],
)
def test_rows_of_a_dump(dump, found):
    assert [row.values for row in sql.rows(dump)] == found
