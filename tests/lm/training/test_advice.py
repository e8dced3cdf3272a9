"""What a run says when it does not get better."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from zojax.lm.training import FinetuneConfig, HyperParameters, Observer, Scores, finetune
from zojax.lm.training._advice import STUCK, Advice
from zojax.lm.training._best import Best

CONFIG = FinetuneConfig(eval_every=10, hyper=HyperParameters(learning_rate=1e-3))


def scores(loss: float) -> Scores:
    return Scores(0.5, loss, 100)


def said(losses: list[float], best_step: int = 0, best_loss: float = 1.0) -> list[str]:
    """What is said while dev has these losses, at every tenth step, with the best at one step."""
    advice, best = Advice(CONFIG, 1.0), Best(best_step, scores(best_loss), {})
    found = [advice.after(10 * (i + 1), scores(loss), best) for i, loss in enumerate(losses)]
    return [message for message in found if message is not None]


@pytest.mark.quick
@pytest.mark.parametrize("bad", [1.3, 50.0, math.inf, math.nan])
def test_a_loss_that_grows_asks_for_a_smaller_rate_once(bad: float):
    (message,) = said([1.1, bad, bad, *[bad] * STUCK])
    assert message.startswith(f"the loss on dev has grown from 1.000 to {bad:.3f}")
    assert "--learning-rate 0.0003, or auto" in message


@pytest.mark.quick
def test_a_loss_that_stands_still_asks_for_a_larger_rate_once():
    (message,) = said([1.0, 1.01, 0.99, 1.0, 0.995, 1.0, 1.0])
    assert message.startswith(f"the loss on dev has hardly moved in {10 * STUCK} steps")
    assert "--learning-rate 0.003, or auto" in message


def test_a_run_past_its_best_step_is_told_so():
    (message,) = said([0.5] * (2 + STUCK), best_step=20, best_loss=0.5)
    assert message.startswith("no better score on dev since step 20.")
    assert "--patience" in message


def test_a_run_that_gets_better_hears_nothing():
    advice = Advice(CONFIG, 1.0)
    for i in range(20):
        now = scores(1.0 - 0.01 * i)
        assert advice.after(10 * (i + 1), now, Best(10 * (i + 1), now, {})) is None


class Heard(Observer):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def advice(self, message: str) -> None:
        self.messages.append(message)


@pytest.mark.usefixtures("standard_promotion")
def test_a_run_says_it(base: FinetuneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zojax.lm.training._advice.GROWN", -0.9)  # whatever dev does is too much
    observer = Heard()
    finetune(dataclasses.replace(base, output=tmp_path / "run"), observer)
    (message,) = observer.messages
    assert message.startswith("the loss on dev has grown from")
