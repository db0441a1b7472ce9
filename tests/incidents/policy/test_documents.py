"""A profile file: what is wrong with it, in which line; and the one normal form it has."""

import copy
import json

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from incidents.lifecycle.models import Role
from incidents.policy import actions, documents
from incidents.policy.documents import Bad

SHIPPED = sorted(actions.PROFILES.glob("*-*.yaml"))
HEAD = """profile: ours
version: 1
change_note: Ours.
effective_from: 2026-01-01T00:00:00Z
"""
SEVERITY = """severities:
  1: {label: SEV1, acknowledge: 15m}
"""
TEXT = HEAD + SEVERITY  # six lines


def faults(text: str) -> list[str]:
    with pytest.raises(Bad) as refused:
        documents.read(text)
    return str(refused.value).splitlines()


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_nothing_is_wrong_with_what_is_shipped(file):
    assert documents.read(file.read_text())["profile"] == file.stem


def test_roles_are_those_incidents_have():
    assert list(documents.ROLES) == Role.values


def cell(duty: str, rank: int = 1, audience: str = "customers", mode: str = "required") -> str:
    """A file whose line 10 is the duty."""
    return f"{TEXT}matrix:\n  {rank}:\n    {audience}: {{mode: {mode}, duties: [\n      {{{duty}}}]}}\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("profile: [", "Line 1: This is not YAML"),
        ("a: 1\n b: 2\n", "Line 2: This is not YAML"),
        ("- 1\n", "Line 1: Write a group of names and values here, not a list."),
        ("", "Write a group of names and values here, not None."),
        ("x" * 200_001, "The file is longer than 200000 characters"),
        ("a: \x01", "Line 1: A character in it is not text."),
        ("[" * 5000, "Line 1: It is nested too deeply."),
        (
            TEXT.replace("version: 1", "version: one"),
            "Line 2: version: Write a whole number from 1 to 9999, not 'one'.",
        ),
        (TEXT.replace("version: 1", "version: true"), "Line 2: version: Write a whole number from 1 to 9999"),
        (TEXT.replace("profile: ours", "profile: Our Own"), "Line 1: profile: 'Our Own' is not a name of a profile"),
        (TEXT.replace("change_note: Ours.\n", ""), "change_note is missing."),
        (TEXT.replace("2026-01-01T00:00:00Z", "2026-13-01"), "Line 4: effective_from: '2026-13-01' is not a moment"),
        (TEXT.replace("T00:00:00Z", "T00:00:00"), "Line 4: effective_from: '2026-01-01T00:00:00' is not a moment"),
        (HEAD, "severities is missing."),
        (HEAD + "severities: {}\n", "Line 5: severities: Name at least one severity."),
        (TEXT.replace("15m}", "15m, enabled: false}"), "Line 5: severities: Every severity is switched off"),
        (TEXT.replace("15m", "15x"), "Line 6: severities, severity 1, acknowledge: '15x' is not a length of time"),
        (TEXT.replace("label: SEV1, ", ""), "Line 6: severities, severity 1: label is missing."),
        (TEXT.replace("label: SEV1", "label: 1"), "Line 6: severities, severity 1, label: Write words here, not 1"),
        (TEXT.replace("SEV1", "SEVERITY ONE"), "That is 12 characters long; at most 10 fit."),
        (TEXT + "  5: {label: X}\n", "Line 7: severities, severity 5: No such part; choose among 1, 2, 3, 4."),
        (TEXT + "  1: {label: X}\n", "Line 7: severities, severity 1: It stands here twice."),
        (TEXT + "grace: 5m\ngrace: 6m\n", "Line 8: grace: It stands here twice."),
        (TEXT + "graze: 5m\n", "Line 7: graze: No such part; there are profile, version"),
        (TEXT + "grace: 1bd_end\n", "Line 7: grace: '1bd_end' is not a length of time; write 30m, 24h or 3d."),
        (TEXT + "holding_max_consecutive: 99\n", "Line 7: holding_max_consecutive: Write a whole number from 0 to 10"),
        (
            TEXT + "notify_on_declare:\n  1: [boss]\n",
            "Line 8: notify_on_declare, severity 1, no. 1: 'boss' is not known",
        ),
        (
            TEXT + "notify_on_declare:\n  2: [scribe]\n",
            "Line 8: notify_on_declare, severity 2: There is no such severity",
        ),
        (TEXT + "notify_on_declare:\n  1: [scribe, scribe]\n", "scribe stands here twice."),
        (TEXT + "approvals: {status_update: legal_lead}\n", "Line 7: approvals, status_update: Write a list here"),
        (TEXT + "approvals: {gossip: []}\n", "Line 7: approvals, gossip: No such part"),
        (
            TEXT + "thresholds:\n  - {signal: mood, gt: 1}\n",
            "Line 8: thresholds, no. 1, signal: 'mood' is not known here",
        ),
        (TEXT + "thresholds:\n  - {signal: p95_ms, gt: -1}\n", "Line 8: thresholds, no. 1, gt: Write a number above 0"),
        (
            TEXT + "thresholds:\n  - {signal: p95_ms, gt: 1, suggests: 3}\n",
            "Line 8: thresholds, no. 1, suggests: There is no such severity in this profile.",
        ),
        (TEXT + "checkpoints:\n  1: {lunch: 5m}\n", "Line 8: checkpoints, severity 1, lunch: No such part"),
        (
            TEXT + "checkpoints:\n  1: {classified: 0m}\n",
            "Line 8: checkpoints, severity 1, classified: Write at least one",
        ),
        (
            TEXT + "escalate_if_unresolved:\n  1: {management: soon}\n",
            "Line 8: escalate_if_unresolved, severity 1, mana",
        ),
        (TEXT + "resolve_gate: {ticks: [5]}\n", "Line 7: resolve_gate, ticks, no. 1: Write words here, not 5"),
        (cell("class: gossip"), "Line 10: matrix, severity 1, customers, duties, no. 1, class: 'gossip' is not known"),
        (cell("class: status_page"), "class: status_page is not for customers; they get status_update"),
        (cell("class: status_update, every: 30m"), "An update every so often needs a first one; say when."),
        (
            cell("class: status_update, first: 5m, every: 0m"),
            "Line 10: matrix, severity 1, customers, duties, no. 1, every",
        ),
        (cell("class: status_update, first: 5m, holding: true"), "A holding message needs an every, and holding_max"),
        (cell("class: status_update, holding: perhaps"), "holding: Write true or false, not 'perhaps'."),
        (cell('class: internal_update, daily_once_contained: "25:00"', audience="internal"), "is not a time of day"),
        (cell("class: status_update, mood: good"), "mood: No such part; there are class, mode, first"),
        (
            cell("class: status_update", rank=2),
            "Line 8: matrix, severity 2: There is no such severity in this profile.",
        ),
        (cell("class: status_update", audience="aliens"), "Line 9: matrix, severity 1, aliens: No such part"),
        (cell("class: status_update", mode="none"), "Mode none owes nothing; take its duties out"),
        (cell("class: status_update", mode="sometimes"), "Line 9: matrix, severity 1, customers, mode: 'sometimes' is"),
        (cell("class: status_update}, {class: status_update"), "status_update stands in this cell twice."),
    ],
    ids=lambda value: value[-40:],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(text, sentence):
    assert [fault for fault in faults(text) if sentence in fault], faults(text)


def test_every_fault_is_said_at_once_in_the_order_of_the_lines():
    text = TEXT.replace("15m", "15x").replace("version: 1", "version: one") + "graze: 5m\n"
    assert [fault.split(":")[0] for fault in faults(text)] == ["Line 2", "Line 6", "Line 7"]


def test_a_file_can_be_checked_without_loading_it(tmp_path, capsys, db):
    file = tmp_path / "ours.yaml"
    file.write_text(TEXT)
    call_command("load_policy", str(file), "--check")
    assert "Nothing is wrong with ours, version 1" in capsys.readouterr().out
    file.write_text(TEXT.replace("15m", "15x"))
    with pytest.raises(CommandError, match="Line 6: severities, severity 1, acknowledge"):
        call_command("load_policy", str(file), "--check")
    with pytest.raises(CommandError, match="No such file"):
        call_command("load_policy", str(tmp_path / "none.yaml"))
    with pytest.raises(CommandError, match="Name the file to check"):
        call_command("load_policy", "--check")


def test_a_clock_time_needs_no_quotes():
    text = cell("class: internal_update, first: 1h, every: 1h, daily_once_contained: 17:00", audience="internal")
    assert documents.read(text)["matrix"][1]["internal"]["duties"][0]["daily_once_contained"] == "17:00"


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("30 min", "30m"),
        ("30m", "30m"),
        (" 2  hours ", "2h"),
        ("1 day", "1d"),
        ("by the end of the next business day", "1bd_end"),
        ("next business day", "1bd_end"),
        ("by the end of the day", "day_end"),
        ("3bd_end", "3bd_end"),
        ("soon", "soon"),
        ("", ""),
    ],
)
def test_an_amount_is_read_as_people_type_it(said, written):
    assert documents.typed(said) == written


# The round trip


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_what_is_written_reads_to_the_same(file):
    document = documents.read(file.read_text())
    again = documents.read(documents.written(document))
    assert (again, documents.digest(again)) == (document, documents.digest(document))
    assert documents.from_json(json.loads(json.dumps(document))) == document


words = st.text("abc: #'\"{}[]-,&*!|>%@é", min_size=1, max_size=20).filter(
    lambda text: text.strip() and text.isprintable()
)
amounts = st.builds(lambda n, unit: f"{n}{unit}", st.integers(1, 9999), st.sampled_from("mhd"))


@st.composite
def profiles(draw):
    """The shipped profile with whatever else it might say."""
    found = copy.deepcopy(documents.read((actions.PROFILES / "default-unified.yaml").read_text()))
    found["change_note"] = draw(words)
    found["grace"] = draw(st.sampled_from(["", "1m", "60m", "1440m", "90m"]))
    found["resolve_gate"] = {"ticks": draw(st.lists(words, max_size=4, unique_by=str.strip))}
    found["severities"][1]["definitions"] = draw(st.lists(words, max_size=3))
    found["notify_on_declare"][1] = draw(st.lists(st.sampled_from(documents.ROLES), unique=True))
    found["matrix"][1]["customers"]["note"] = draw(words)
    found["matrix"][1]["customers"]["duties"][0] |= {"first": draw(amounts), "every": draw(amounts)}
    above = st.floats(0.001, 999_999, allow_nan=False)
    found["thresholds"] = [
        {"signal": name, "gt": draw(above)} for name in draw(st.sets(st.sampled_from(list(documents.SIGNALS))))
    ]
    return found


@pytest.mark.parametrize(("said", "kept"), [(5, 5), (5.0, 5), (0.99999, 1), (0.0014, 0.001), (2.5, 2.5)])
def test_a_number_has_one_way_to_be_written(said, kept):
    assert repr(documents.number(said)) == repr(kept)


@settings(deadline=None, max_examples=30)
@given(profiles())
def test_whatever_a_profile_says_reads_back_to_the_same(source):
    document = documents.checked(source)
    again = documents.read(documents.written(document))
    assert again == document
    assert documents.digest(again) == documents.digest(documents.from_json(json.loads(json.dumps(document))))
