"""Rewards in a loop of one's own: one call for a population, the same luck for all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from chats import write_chat_model
from quick_compile import quick_jit

import zojax
import zojax.lm
from zojax.lm.models import LanguageModel, load

PROMPTS = [{"prompt": f"a film {i}:", "worth": float(i)} for i in range(4)]
MEMBERS = jnp.array([0, 2])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return load(write_chat_model(tmp_path_factory.mktemp("models") / "chat"))


def step_of(objective: Any, tx: Any) -> Any:
    def step(params: Any, state: Any, count: Any) -> Any:
        updates, state = tx.update(
            None, state, params, value_fn=lambda p: objective(p, MEMBERS, count)
        )
        return optax.apply_updates(params, updates), state

    return quick_jit(step)


@pytest.mark.parametrize("temperature", [0.0, pytest.param(1.0, marks=pytest.mark.slow)])
def test_a_population_is_scored_in_one_call(model: LanguageModel, temperature: float):
    heard: list[tuple[list[str], list[Any]]] = []

    def reward(completions: list[str], rows: list[dict[str, Any]]) -> list[float]:
        heard.append((completions, rows))
        return [float(len(text)) for text in completions]

    tx = zojax.es(1e-2, eps=0.1, key=0, population=6)
    samples = 1 if temperature == 0 else 2
    with zojax.lm.reward_objective(
        model, reward, PROMPTS, max_new_tokens=5, temperature=temperature, samples=samples
    ) as objective:
        params, state = step_of(objective, tx)(model.params, tx.init(model.params), 3)
        jax.block_until_ready(params)
        [(completions, rows)] = heard
        # Equal completions of a row are asked for once.
        assert len(completions) <= 6 * 2 * samples
        assert {row["worth"] for row in rows} == {0.0, 2.0}
        [(count, figures)] = objective.figures().items()
        assert count == 3
        assert figures.reward == pytest.approx(-float(zojax.last_loss(state)))
        assert figures.best >= figures.reward
        assert objective.figures() == {}
        assert objective.first_failure is None


@pytest.mark.slow
def test_members_that_do_not_differ_have_the_same_luck(model: LanguageModel):
    """The rewards of a population differ by its parameters alone, and from step to step by luck."""

    def spread(eps: float, count: int) -> tuple[float, float]:
        tx = zojax.spsa(eps, key=0, num_queries=4, direction=zojax.LowRank(), batched=True)
        value = quick_jit(
            lambda p, n: (
                tx.update(None, tx.init(p), p, value_fn=lambda q: objective(q, MEMBERS, n))[1].value
            )
        )
        value(model.params, count).block_until_ready()
        [figures] = objective.figures().values()
        return figures.reward, figures.spread

    def reward(completion: str, row: dict[str, Any]) -> float:
        del row
        return float(sum(map(ord, completion)) % 101)

    with zojax.lm.reward_objective(
        model, reward, PROMPTS, max_new_tokens=5, temperature=2.0
    ) as objective:
        one, other = spread(1e-7, 1), spread(1e-7, 2)
        assert one[1] == other[1] == 0.0
        assert one[0] != other[0]
        assert spread(0.3, 1)[1] > 0


def test_failures_leave_the_step_finite(model: LanguageModel):
    def reward(completion: str, row: dict[str, Any]) -> float:
        if row["worth"]:
            raise RuntimeError("no judge")
        return float(len(completion))

    tx = zojax.es(1e-2, eps=0.1, key=0, population=4)
    with zojax.lm.reward_objective(model, reward, PROMPTS, max_new_tokens=5) as objective:
        params, state = step_of(objective, tx)(model.params, tx.init(model.params), 1)
        assert np.isfinite(float(zojax.last_loss(state)))
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(params))
        [figures] = objective.figures().values()
        assert figures.failures == 4
        assert (objective.first_failure or "").startswith("the reward failed at prompt 2: RuntimeE")


def test_a_named_reward_runs_in_processes(model: LanguageModel, rewards: Path):
    def value(reward: str) -> float:
        with zojax.lm.reward_objective(
            model, reward, PROMPTS, max_new_tokens=5, reward_processes=1
        ) as objective:
            return float(quick_jit(objective)(model.params, MEMBERS))

    assert value(f"{rewards}:reward") == -2.0  # twice the mean worth
    assert -1.0 <= value("words:2") <= 0.0


@pytest.mark.quick
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(prompts=[]), "prompts must be one at least, got none"),
        (dict(prompts=[{"text": "x"}]), "prompt 0: prompt is missing; the columns are text"),
        (dict(max_new_tokens=0), "max_new_tokens must be >= 1, got 0"),
        (dict(max_new_tokens=94), r"prompt 0: prompt must have 1 … 2 tokens, got \d+"),
        (dict(samples=2), "samples must be 1 at temperature 0"),
        (dict(temperature=-1.0), "temperature must be >= 0"),
        (dict(temperature=1.0, top_p=0.0), r"top_p must lie within \(0, 1\]"),
        (dict(reward_failure="leave"), "reward_failure must be drop or a finite number"),
        (dict(reward_seconds=0), "reward_seconds must be positive"),
        (dict(reward_processes=0), "reward_processes must be >= 1"),
        (dict(reward="word:3"), "Did you mean words"),
    ],
)
def test_wrong_settings_are_refused(model: LanguageModel, settings: dict[str, Any], message: str):
    given = {"reward": "words:3", "prompts": PROMPTS, **settings}
    with pytest.raises(ValueError, match=f"^reward_objective: .*{message}"):
        zojax.lm.reward_objective(model, given.pop("reward"), given.pop("prompts"), **given)
