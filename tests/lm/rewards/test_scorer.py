"""Members' losses, and what a completion that the reward fails at does to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zojax.lm.rewards import RewardFigures, RewardRow, Scorer, figures_of, mean_figures

pytestmark = pytest.mark.quick

ROWS = [RewardRow({"worth": worth}, f"file:{worth}", "") for worth in (0, 10)]


def by_length(completion: str, row: dict[str, Any]) -> float:
    if "fail" in completion:
        raise RuntimeError("no judge")
    return len(completion) + row["worth"]


def losses(failure: float | str, *members: list[str]) -> list[float]:
    return Scorer("x", by_length, failure=failure).population(members, ROWS).losses.tolist()


def test_a_loss_is_minus_the_mean_reward():
    assert losses("drop", ["a", "aaa"], ["", ""]) == [-7.0, -5.0]


def test_what_is_left_out_counts_as_the_others_mean():
    # The second member fails at the harder row, where the others have 1 and 3.
    found = losses("drop", ["aa", "a"], ["aa", "fail"], ["aa", "aaa"])
    assert found == [-6.5, -7.0, -7.5]
    # At a row where all fail nobody is better.
    assert losses("drop", ["a", "fail"], ["aa", "fail"]) == [-1.0, -2.0]
    assert losses("drop", ["fail", "fail"], ["fail", "fail"]) == [0.0, 0.0]
    # One that fails everywhere is neither good nor bad.
    assert losses("drop", ["a", "a"], ["fail", "fail"], ["aaa", "aaa"]) == [-6.0, -7.0, -8.0]


def test_a_failure_may_have_a_score():
    assert losses(-4.0, ["a", "fail"], ["aa", "fail"]) == [1.5, 1.0]


def test_a_single_member_has_the_mean_of_what_is_left():
    assert losses("drop", ["aa", "fail"]) == [-2.0]
    assert np.isnan(losses("drop", ["fail", "fail"])).all()


def test_the_first_failure_names_its_row():
    scorer = Scorer("x", by_length)
    assert scorer.first_failure is None
    values = scorer.score(["a", "fail", "fail 2"], [ROWS[0], ROWS[1], ROWS[0]])
    np.testing.assert_array_equal(np.isnan(values), [False, True, True])
    message = scorer.first_failure or ""
    assert message.startswith(
        "the reward failed at file:10: RuntimeError: no judge (test_scorer.py, line "
    )
    scorer.score(["fail"], [ROWS[0]])
    assert scorer.first_failure == message
    assert scorer.mean(values) == 1.0
    assert Scorer("x", by_length, failure=-3).mean(values) == (1 - 3 - 3) / 3


def test_equal_completions_of_a_row_are_scored_once():
    asked: list[tuple[str, int]] = []

    def reward(completion: str, row: dict[str, Any]) -> float:
        asked.append((completion, row["worth"]))
        return 1.0

    found = Scorer("x", reward).score(["a", "b", "a", "a"], [ROWS[0], ROWS[0], ROWS[0], ROWS[1]])
    assert found.tolist() == [1.0] * 4
    assert asked == [("a", 0), ("b", 0), ("a", 10)]


def test_a_function_of_lists_is_told_by_its_parameter():
    def reward(completions: list[str], rows: list[dict[str, Any]]) -> list[float]:
        return [len(completions) + row["worth"] for row in rows]

    assert Scorer("x", reward).score(["a", "b"], ROWS).tolist() == [2.0, 12.0]


def test_an_interrupt_is_no_failure():
    def reward(completion: str, row: dict[str, Any]) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Scorer("x", reward).score(["a"], ROWS[:1])


def test_figures_leave_out_what_has_no_score():
    figures = figures_of(1.0, [1.0, np.nan, 3.0], np.array([[2, 4]]), 1)
    assert figures == RewardFigures(1.0, 3.0, 1.0, 3.0, 1)
    nothing = figures_of(np.nan, [np.nan], np.array([[2, 4]]), 2)
    assert np.isnan(nothing[:3]).all()
    together = mean_figures([figures, figures._replace(reward=2.0, best=2.0), nothing])
    assert together == RewardFigures(1.5, 3.0, 1.0, 3.0, 4)
