"""How a runbook is read from its text, and the sentence each bad text gets."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents.runbooks import manuscript
from incidents.runbooks.manuscript import START, Unreadable

TYPES = {"T01", "T02", "T99"}
TOP = "---\ncode: restart-api\ntitle: Restart the API\nkind: runbook\n---\n"
WHOLE = """---
code: restart-api
title: Restart the API
kind: runbook
types: [T01, T02]
control: 9
repository: https://git.example.com/api
on_call: It hangs.
  Restart it.
management: no
covers: [R001-30]
---
Read me first.

## Symptoms
- Requests hang.
- {{.State}} of another tool is no placeholder.

## Steps
1. Restart the **service**
   with one command.

   ```sh
   {{ restart }}
     --now
   ```
   Expect: the health check
   answers.
   Within: 60 s
2) Look at {{ errors }}.
   - errors
   - latency
   Within: 15 min of step 1
3. Wait.
   Within: 1 h of the start

## Communication
1. Tell customers.
"""


def faults(source: str) -> list[str]:
    with pytest.raises(Unreadable) as unreadable:
        manuscript.read(source, types=TYPES)
    return unreadable.value.faults


# covers R000-28, R004-17: where it is kept, and a sentence for each of the two audiences
def test_what_stands_on_top_is_read_as_text():
    found = manuscript.read(WHOLE, types=TYPES)
    assert (found.code, found.title, found.kind) == ("restart-api", "Restart the API", "runbook")
    assert (found.types, found.for_all, found.control, found.covers) == (("T01", "T02"), False, 9, ("R001-30",))
    assert found.repository == "https://git.example.com/api"
    assert found.on_call == "It hangs. Restart it."
    assert found.management == "no"


def test_sections_hold_what_is_read_and_steps_hold_what_is_done():
    found = manuscript.read(WHOLE)
    assert [section.title for section in found.sections] == ["", "Symptoms", "Steps", "Communication"]
    assert found.sections[0].prose == "Read me first."
    assert found.sections[1].prose.startswith("- Requests hang.")
    assert [(step.position, step.number, step.section) for step in found.steps] == [
        (1, 1, "Steps"),
        (2, 2, "Steps"),
        (3, 3, "Steps"),
        (4, 1, "Communication"),
    ]


def test_a_step_keeps_its_text_its_command_and_what_tells_that_it_worked():
    step = manuscript.read(WHOLE).steps[0]
    assert step.text == "Restart the **service**\nwith one command."
    assert step.commands == ("{{ restart }}\n  --now",)
    assert step.expect == "the health check answers."


def test_a_time_limit_counts_from_the_step_before_from_a_named_one_or_from_the_start():
    steps = manuscript.read(WHOLE).steps
    assert [(step.within, step.since) for step in steps] == [(60, START), (900, 1), (3600, START), (None, START)]


def test_a_limit_of_the_step_before_counts_across_sections():
    found = manuscript.read(TOP + "## A\n1. One.\n2. Two.\n## B\n1. Three.\n   Within: 5 min\n")
    assert found.steps[2].since == 2


@pytest.mark.parametrize("end", ["\r\n", "\r", "  \n"])
def test_the_ends_of_lines_change_nothing(end):
    assert manuscript.tidy(WHOLE.replace("\n", end)) == WHOLE


def test_types_may_be_written_as_words_and_all_is_every_type():
    assert manuscript.read(TOP.replace("---\ncode", "---\ntypes: T01, T99\ncode") + "1. Go.").types == ("T01", "T99")
    assert manuscript.read(TOP.replace("---\ncode", "---\ntypes: all\ncode") + "1. Go.").for_all


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (60, "60 s"),
        (119, "119 s"),
        (120, "2 min"),
        (905, "15 min 5 s"),
        (3600, "1 h"),
        (5460, "1 h 31 min"),
    ],
)
def test_a_length_of_time_in_words(seconds, words):
    assert manuscript.length(timedelta(seconds=seconds)) == words


BAD = [
    ("", "Line 1: a runbook begins with a line of three dashes"),
    ("# Restart\n1. Go.", "Line 1: a runbook begins with a line of three dashes"),
    ("---\ncode: x\n1. Go.", "Line 1: what stands on top never ends"),
    ("---\n" + f"a: {'x' * 80}\n" * 100 + "---\n1. Go.", "what stands on top is too long"),
    ("---\ncode: [x\n---\n1. Go.", "Line 2: this is no YAML"),
    ("---\ncode: x\ntitle: a: b\n---\n1. Go.", "Line 3: this is no YAML"),
    ("---\n\tcode: x\n---\n1. Go.", "Line 2: this is no YAML"),
    ("---\njust words\n---\n1. Go.", "Line 2: write one “name: value” a line on top"),
    ("---\n" + "[" * 3000 + "\n---\n1. Go.", "Line 2: what stands on top is no YAML"),
    (TOP.replace("code: restart-api\n", ""), "Line 1: “code” is missing on top."),
    (TOP.replace("title: Restart the API\n", ""), "Line 1: “title” is missing on top."),
    (TOP.replace("kind: runbook\n", ""), "Line 1: “kind” is missing on top."),
    (TOP.replace("restart-api", ""), "Line 2: “code” is empty."),
    (TOP.replace("restart-api", "Restart API"), "Line 2: “code” is lower-case letters, digits and single dashes"),
    (TOP.replace("restart-api", "x" * 61), "Line 2: “code” has 61 characters; it has at most 60."),
    (TOP.replace("kind: runbook", "kind: novel"), "Line 4: “kind” is 'novel'; it can be card, runbook, containment"),
    (TOP.replace("kind: runbook", "kind: [runbook]"), "Line 4: “kind” is one line of text."),
    (TOP.replace("kind: runbook", "kind: runbook\nkind: card"), "Line 5: “kind” is given twice."),
    (TOP.replace("kind: runbook", "kind: runbook\nseverity: 1"), "Line 5: “severity” is nothing a runbook has"),
    (TOP.replace("kind: runbook", "kind: runbook\n? [a]\n: b"), "Line 5: “"),
    (TOP.replace("kind: runbook", "kind: runbook\ncontrol: 13"), "Line 5: “control” is the number of a readiness"),
    (TOP.replace("kind: runbook", "kind: runbook\ncontrol: ²"), "Line 5: “control” is the number of a readiness"),
    (TOP.replace("kind: runbook", "kind: runbook\ntypes: [T01, T77]"), "Line 5: “T77” is no type of incident"),
    (TOP.replace("kind: runbook", "kind: runbook\ntypes: {T01: 1}"), "Line 5: “types” is a list like [T01, T02]."),
    (TOP.replace("kind: runbook", "kind: runbook\ntypes: [everything]"), "Line 5: “types” is a short list of codes"),
    (TOP, "Line 5: there is no step; write at least one"),
    (TOP + "Only words.\n", "Line 6: there is no step; write at least one"),
    (TOP + "# Steps\n1. Go.", "Line 6: a section begins with two #"),
    (TOP + "## \n1. Go.", "Line 6: a section begins with two #"),
    (TOP + f"## {'x' * 121}\n1. Go.", "Line 6: the name has 121 characters"),
    (TOP + "## A\n1. Go.\n## A\n1. Go.", "Line 8: there is a section “A” already."),
    (TOP + "1. Go.\nAnd more.", "Line 7: this text follows a step but is not indented"),
    (TOP + "1. Go.\n- more", "Line 7: this text follows a step but is not indented"),
    (TOP + "1. Go.\n```\nls\n```", "Line 7: a command belongs to a step; indent it"),
    (TOP + "```\nls\n```\n1. Go.", "Line 6: a command belongs to a step; indent it"),
    (TOP + "1. Go.\n   ```\n   ls", "Line 7: the command that begins here never ends"),
    (TOP + "1. Go.\n   ```\n   ```", "Line 7: the command is empty."),
    (TOP + "1. Go.\n   ```\n   l\u202es\n   ```", "Line 8: the command holds an invisible character (U+202E)."),
    (TOP + "1. Go.\n   ```\n   rm\u200b x\n   ```", "Line 8: the command holds an invisible character (U+200B)."),
    (TOP + "1. Go.\n   ```\n   {{ Health }}\n   ```", "Line 8: “{{ Health }}” is no placeholder"),
    (TOP + "1. Go.\n   ```\n   {{ health url }}\n   ```", "Line 8: “{{ health url }}” is no placeholder"),
    (TOP + "1. Look at {{ health }.", "Line 6: “{{ health }” is no placeholder"),
    (TOP + "1. Go.\n   Expect: {{ éa }}", "Line 6: “{{ éa }}” is no placeholder"),
    (TOP + "1. Go.\n" + "   ```\n   ls\n   ```\n" * 6, "Line 22: this step has more than 5 commands"),
    (TOP + f"1. Go.\n   ```\n   {'x' * 2001}\n   ```", "Line 7: the command has 2001 characters"),
    (TOP + f"1. {'x' * 2001}", "Line 6: the step is longer than 2000 characters"),
    (TOP + "1. Go.\n   Within: soon", "Line 7: a time limit is written like “60 s”"),
    (TOP + "1. Go.\n   Within: 0 s", "Line 7: a time limit is written like “60 s”"),
    (TOP + "1. Go.\n   Within: 200 h", "Line 7: a time limit is written like “60 s”"),
    (TOP + "1. Go.\n   Within: ٦٠ s", "Line 7: a time limit is written like “60 s”"),
    (TOP + "1. Go.\n   Within: 60 s of step 1", "Line 7: step 1 is not before this one in its section."),
    (TOP + "1. Go.\n   Within: 60 s\n   Within: 90 s", "Line 8: this step has two time limits."),
    (TOP + "1. Go.\n   Expect: a\n   Expect: b", "Line 8: this step says twice what to expect."),
    (TOP + "1. Go\x07.", "Line 6: it holds a character that cannot be shown (U+0007)"),
    (TOP + "1. Go.\n" * 201, "Line 206: there are more than 200 steps"),
    (TOP + "".join(f"## {n}\n1. Go.\n" for n in range(31)), "there are more than 30 sections."),
    (TOP + "1. Go." + "x" * 40_000, "a runbook has at most 40000"),
    (TOP + "1. Go.\n" + "\n" * 1600 + "2. End.", "a runbook has at most 1500"),
]


@pytest.mark.parametrize(("source", "sentence"), BAD, ids=[sentence[:60] for _, sentence in BAD])
def test_a_bad_text_is_refused_with_the_line_and_why(source, sentence):
    assert any(sentence in fault for fault in faults(source)), faults(source)


def test_all_faults_are_told_at_once_in_the_order_of_their_lines():
    told = faults("---\ncode: A b\nkind: novel\n---\n1. {{ X }}\nand\n")
    assert [fault.partition(":")[0] for fault in told] == ["Line 1", "Line 2", "Line 3", "Line 5", "Line 6"]


def test_many_faults_are_cut_short_with_their_number():
    told = faults(TOP + "1. Go.\nno\n" * 40)
    assert len(told) == manuscript.FAULTS + 1
    assert told[-1] == f"And {40 - manuscript.FAULTS} more like these."


def told(source: str) -> list[str]:
    """Its faults; none when it is read."""
    try:
        found = manuscript.read(source)
    except Unreadable as unreadable:
        return unreadable.faults
    assert [step.position for step in found.steps] == list(range(1, len(found.steps) + 1))
    assert all(step.text and step.since < step.position for step in found.steps)
    return []


@given(st.text(alphabet=st.sampled_from(list("---\n#`1. {}ax:[]EWithnxpc\t")), max_size=200))
def test_any_text_below_is_read_or_refused_with_lines(text):
    """Never another exception, whatever stands in it."""
    assert all(fault.startswith(("Line ", "And ")) for fault in told(TOP + text))


@given(st.text(max_size=120))
def test_any_text_on_top_is_read_or_refused(text):
    assert all(told(f"---\n{text}\n---\n1. Go."))
