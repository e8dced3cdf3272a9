"""The axes are true: two members of two axes go together, or are refused with the reason."""

import json
from pathlib import Path

import pytest
from axes import AXES, pairs, refusal

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "axes.json"


def name_of(pair):
    return ", ".join(member for _, member in pair)


def recorded():
    """What the documentation says is refused, and why."""
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]
    return {(row["member"], row["does not go with"]): row["for"] for row in rows}


# One pair of each two axes, and all that are refused; the slow set has every pair.
FIRST = {(one[0], other[0]): (one, other) for one, other in pairs()}
REFUSED = [pair for pair in pairs() if tuple(member for _, member in pair) in recorded()]
BY_DEFAULT = {*FIRST.values(), *REFUSED}


@pytest.mark.parametrize(
    "pair",
    [pytest.param(p, marks=() if p in BY_DEFAULT else pytest.mark.slow) for p in pairs()],
    ids=name_of,
)
def test_two_members_go_together_or_are_refused(pair):
    members = tuple(member for _, member in pair)
    assert refusal(pair) == recorded().get(members)


@pytest.mark.quick
def test_every_refusal_has_a_reason():
    members = {member for axis in AXES.values() for member in axis}
    assert recorded()
    for (one, other), reason in recorded().items():
        assert {one, other} <= members
        assert len(reason) > 20
