"""The Merkle tree against RFC 6962's own definition, and what may stand in a line."""

import hashlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irportal.ledger import tree


def rfc_6962(leaves: list[bytes]) -> bytes:
    """Section 2.1, word for word: split at the largest power of two smaller than n."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + rfc_6962(leaves[:k]) + rfc_6962(leaves[k:])).digest()


def test_the_root_of_nothing_is_the_hash_of_nothing():
    assert tree.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.integers(min_value=1, max_value=70))
def test_every_root_found_on_the_way_is_the_one_the_standard_defines(count):
    leaves = [tree.leaf(str(n)) for n in range(count)]

    assert dict(tree.roots(leaves, range(1, count + 1))) == {n: rfc_6962(leaves[:n]) for n in range(1, count + 1)}


def test_sizes_beyond_the_leaves_have_no_root():
    assert list(tree.roots([tree.leaf("a")], [5])) == []


def test_a_line_is_the_same_whatever_order_its_facts_came_in():
    assert tree.canonical({"b": 1, "a": [True, None]}) == tree.canonical({"a": (True, None), "b": 1})


def test_an_instant_is_written_in_utc_with_microseconds():
    paris = timezone(timedelta(hours=2))

    assert tree.stamp(datetime(2025, 10, 24, 16, 30, tzinfo=paris)) == "2025-10-24T14:30:00.000000Z"


@pytest.mark.parametrize(
    "fact", [1.5, {"deep": [0.1]}, float("nan"), datetime(2025, 10, 24), b"bytes", {1: "number as a name"}, object()]
)
def test_what_two_readers_could_write_differently_cannot_stand_in_a_line(fact):
    with pytest.raises(TypeError, match="cannot stand in a ledger line"):
        tree.canonical({"facts": fact})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_whatever_people_type_makes_one_line(fact):
    assert "\n" not in tree.canonical({"at": datetime(2025, 1, 1, tzinfo=UTC), "facts": fact})
