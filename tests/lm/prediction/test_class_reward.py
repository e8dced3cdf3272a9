"""A run with classes as the reward of what another model writes."""

from __future__ import annotations

import pytest

from zojax.lm.prediction import class_reward, load_run
from zojax.lm.rewards import RewardError, RewardPool, read_reward
from zojax.lm.training import Result

pytestmark = pytest.mark.usefixtures("standard_promotion")
TEXTS = ["film a It was", "story a It", "", "other 3"]


def test_it_is_the_probability_of_a_class(run: Result):
    expected = [
        0.0 if found is None else found.scores["terrible"]
        for found in load_run(run.folder).predict_each([text or None for text in TEXTS])
    ]
    reward = class_reward(run.folder, "terrible")
    assert reward(TEXTS, [{}] * 4) == pytest.approx(expected)
    assert len({*expected}) == 4
    with pytest.raises(ValueError, match=r"label must be one of great, terrible, abysmal, got 'x'"):
        class_reward(run.folder, "x")


@pytest.mark.slow
def test_it_is_asked_for_by_name(run: Result):
    source = read_reward("finetune", f"classifier:{run.folder}")
    assert source.processes == 1
    with RewardPool("finetune", source, seconds=60.0) as pool:
        found = [score.value for score in pool.score(TEXTS, [{}] * 4)]
    # Of the last class where none is named.
    assert found == pytest.approx(class_reward(run.folder, "abysmal")(TEXTS, [{}] * 4), abs=1e-5)
    source = read_reward("finetune", f"classifier:{run.folder}:none")
    with pytest.raises(RewardError, match="label must be one of great, terrible, abysmal"):
        RewardPool("finetune", source, seconds=60.0)
