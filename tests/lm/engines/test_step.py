"""A step whose members an engine writes for, and points as adapters."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lora_server import COMPLETIONS, error
from sets import slow_except

import zojax
import zojax.lm.models
from zojax.lm.adapters import LoRA
from zojax.lm.decoding import greedy
from zojax.lm.engines import Decoding, ServerEngine, as_lora, engine_step

ADAPTER = LoRA(rank=2, alpha=4.0)
SHORT = Decoding(max_new_tokens=4)
KERNELS = "*_proj/kernel"


def cost(texts: list[str]) -> float:
    """The mean number of bytes: any function of the texts."""
    return float(np.mean([len(text.encode()) for text in texts]))


def tuner_of(**options):
    return zojax.ask_tell(zojax.mezo(0.1, eps=0.5, key=0, num_queries=2, **options))


@pytest.fixture(scope="module")
def values(trees):
    return trees[0]


def bits(tree) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def stepped(engine, model, prompts, values, *, steps=2, **options):
    tuner = tuner_of()
    found, params, state = [], values, tuner.init(values)
    for _ in range(steps):
        step = engine_step(
            tuner,
            state,
            params,
            engine=engine,
            model=model,
            prompts=prompts,
            cost=cost,
            adapter=ADAPTER,
            decoding=SHORT,
            **options,
        )
        params, state = step.params, step.state
        found.append(step)
    return found


def test_a_step_tells_the_costs_of_what_its_members_wrote(own, model, prompts, values):
    first, second = stepped(own, model, prompts, values)
    assert first.losses == [cost(texts) for texts in first.completions]
    assert len(first.losses) == 4
    tuner = tuner_of()
    state = tuner.init(values)
    told = dict(zip(tuner.ask(state, values), first.losses, strict=True))
    params, state = tuner.tell(state, values, told)
    assert bits(params) == bits(first.params)
    assert bits(params) != bits(values)
    assert int(state[0].count) == 1
    assert bits(second.params) != bits(params)


def test_a_server_brings_the_same_bits(server, own, model, prompts, values, tmp_path):
    engine = ServerEngine(server.url)
    found = stepped(engine, model, prompts, values, folder=tmp_path)
    expected = stepped(own, model, prompts, values)
    assert [step.completions for step in found] == [step.completions for step in expected]
    assert bits(found[-1].params) == bits(expected[-1].params)
    assert not [*tmp_path.iterdir()]
    assert server.loaded == {}


def test_a_member_that_is_not_served_drops_its_query(server, own, model, prompts, values):
    def fail(server, path, body):
        folder = server.loaded.get(body.get("model"))
        if path == COMPLETIONS and folder is not None and folder.name == "member-0":
            return error(503, "busy", "Overloaded")
        return None

    server.fault = fail
    engine = ServerEngine(server.url, retries=0)
    (step,) = stepped(engine, model, prompts, values, steps=1)
    assert step.losses[0] is None
    assert None not in step.losses[1:]
    tuner = tuner_of()
    state = tuner.init(values)
    points = tuner.ask(state, values)
    told = {point: loss for point, loss in zip(points, step.losses, strict=True) if point.query}
    params, _ = tuner.tell(state, values, told)
    assert bits(params) == bits(step.params)


class Noting:
    """An engine that notes how it was asked, and writes nothing."""

    def __init__(self):
        self.asked: list[Decoding] = []

    def complete(self, prompts, members, decoding):
        self.asked.append(decoding)
        return [[""] * len(prompts) for _ in members]

    def close(self):
        pass


def test_each_step_has_noise_of_its_own(model, prompts, values):
    engine = Noting()
    stepped(engine, model, prompts, values)
    assert engine.asked == [SHORT, dataclasses.replace(SHORT, seed=1)]


def writer_of(model, prompts):
    """From weights to what the model writes with them."""
    lengths = np.array([len(prompt) for prompt in prompts])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(mask.shape, np.int32)
    ids[mask] = np.concatenate(prompts)
    end = [model.tokenizer.eos_token_id]
    decode = jax.jit(partial(greedy, model, max_new_tokens=4, stop_tokens=end))

    def write(params) -> list[str]:
        rows = decode(params, ids, mask.astype(np.int32))
        kept = ([int(token) for token in row if token >= 0] for row in rows)
        return [model.tokenizer.decode(row, skip_special_tokens=True).strip() for row in kept]

    return write


def test_weights_in_a_subspace_are_tuned_through_adapters(own, model, prompts):
    inner = zojax.mezo(5.0, eps=3.0, key=0)
    tx = zojax.select(zojax.subspace(inner, rank=2, refresh=None, key=0), KERNELS)
    tuner = zojax.ask_tell(tx)
    params, state, write = model.params, tuner.init(model.params), writer_of(model, prompts)
    for _ in range(2):
        points = tuner.ask(state, params)
        step = engine_step(
            tuner,
            state,
            params,
            engine=own,
            model=model,
            prompts=prompts,
            cost=cost,
            decoding=SHORT,
        )
        expected = [write(point.params(params)) for point in points]
        assert step.completions == expected
        # The engine's weights stay, and so do the parameters.
        assert bits(step.params) == bits(model.params)
        params, state = step.params, step.state


def moved_by(tx, model):
    """A point of an optimizer of a model's weights: where it is, and as a LoRA."""
    tuner = zojax.ask_tell(tx)
    point = tuner.ask(tuner.init(model.params), model.params)[0]
    adapter, own = as_lora(point.adapter(model.params), model)
    tree = {"model": model.params, "adapter": own}
    return point.params(model.params), adapter, adapter.merged(tree)


SUBSPACE = {
    "low rank": lambda: zojax.mezo(1e-2, eps=0.1, key=0, direction=zojax.LowRank(3)),
    "a subspace": lambda: zojax.subspace(
        zojax.mezo(1e-2, eps=0.1, key=0), rank=3, refresh=None, key=0
    ),
    "a wide subspace of narrow matrices": lambda: zojax.subspace(
        zojax.mezo(1e-2, eps=0.1, key=0), rank=40, refresh=None, key=0
    ),
}


@pytest.mark.parametrize("make", slow_except(SUBSPACE, "a subspace"))
def test_a_point_as_an_adapter_is_the_point(make, model):
    expected, adapter, found = moved_by(zojax.select(make(), KERNELS), model)
    assert adapter.alpha == adapter.rank
    moved = 0.0
    for a, b, before in zip(*map(jax.tree.leaves, (found, expected, model.params)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        moved = max(moved, float(jnp.abs(b - before).max()))
    assert moved > 1e-2


def test_layers_that_are_not_scanned_may_stay(tiny_opt):
    model = zojax.lm.models.load(tiny_opt, scan_layers=False)
    where = "*/self_attn/q_proj/kernel"
    expected, adapter, found = moved_by(zojax.select(SUBSPACE["low rank"](), where), model)
    assert adapter.targets == ("q_proj",)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


REFUSED = {
    "the last norm": ([KERNELS, "norm/*"], "kernels of dense modules alone, got .*norm/"),
    "biases": ("layers/*_proj/*", "kernels of dense modules alone, got"),
    "embeddings": ("embed_tokens/*", "kernels of dense modules alone, got"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_lora_has_is_refused(name, model):
    where, message = REFUSED[name]
    with pytest.raises(ValueError, match=rf"^as_lora: point must add to {message}"):
        moved_by(zojax.select(SUBSPACE["low rank"](), where), model)


def test_another_model_is_refused(model):
    other = dataclasses.replace(
        model, params=jax.tree.map(lambda x: jnp.zeros((*x.shape[:-1], 7)), model.params)
    )
    tuner = zojax.ask_tell(zojax.select(SUBSPACE["low rank"](), KERNELS))
    point = tuner.ask(tuner.init(other.params), other.params)[0]
    with pytest.raises(ValueError, match=r"^as_lora: point must add to the kernels of this model"):
        as_lora(point.adapter(other.params), model)
