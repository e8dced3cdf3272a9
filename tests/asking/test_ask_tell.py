"""Ask and tell: the steps of ``update``, to the bit, with losses that come from outside."""

from __future__ import annotations

import json
import random
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optimizers import OPTIMIZERS, by_path
from sets import slow_except

import zojax
from zojax.estimators import estimator_states
from zojax.testing import loss, parameters
from zojax.trajectory import (
    Header,
    LogWriter,
    Recorder,
    fingerprint,
    key_parts,
    read_log,
    record_fields,
    replay,
)

NEEDS_MORE = {"hybrid", "zo_sgd_conservative", "zo_sgd_blockwise", "forward_gradient_sgd"}
TOLD = {name: make for name, make in OPTIMIZERS.items() if name not in NEEDS_MORE} | {
    "zo_sgd_blockwise, at once": lambda **o: zojax.zo_sgd_blockwise(
        1e-2, eps=1e-2, key=0, blocks=by_path, in_turn=False, **o
    ),
    "es, one by one": lambda **o: zojax.es(1e-2, eps=1e-2, key=0, population=4, batched=False, **o),
    "injected": lambda **o: optax.inject_hyperparams(
        lambda learning_rate: zojax.mezo(learning_rate, eps=1e-2, key=0, **o)
    )(learning_rate=1e-2),
    "subspace, es": lambda **o: zojax.subspace(
        zojax.es(1e-2, eps=1e-2, key=0, population=4, **o), rank=2, refresh=2, key=0
    ),
    "optax.chain": lambda **o: optax.chain(
        zojax.spsa(1e-2, key=0, num_queries=2, **o),
        optax.clip_by_global_norm(1.0),
        optax.adam(0.01),
    ),
}
BY_DEFAULT = ("mezo, forward", "zo_adamu, 3 queries", "es", "subspace, es")


def steps(loss_in_steps: Any) -> Any:
    """The loss in whole steps, so that no rounding of it is seen, however it is compiled."""
    return jnp.round(loss_in_steps * 2.0**7) * 2.0**-7


def value_fn(p: Any) -> Any:
    return steps(loss(p))


def bits(p: Any) -> Any:
    """A number that depends on every bit of the parameters, the same in any order of summation."""
    words = [
        jnp.sum(
            jax.lax.bitcast_convert_type(x, jnp.uint32) * jnp.uint32(2 * i + 1), dtype=jnp.uint32
        )
        for i, x in enumerate(jax.tree.leaves(p))
    ]
    return (sum(words, jnp.uint32(0)) % jnp.uint32(1021)).astype(jnp.float32)


def same_bits(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            assert (a == b).all()
        else:
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def by_update(tx: Any, value: Any, number: int) -> tuple[Any, Any]:
    params = parameters()
    state = tx.init(params)

    @partial(jax.jit, compiler_options=zojax.compiler_options())
    def step(params: Any, state: Any) -> Any:
        updates, state = tx.update(None, state, params, value_fn=value)
        return optax.apply_updates(params, updates), state

    for _ in range(number):
        params, state = step(params, state)
    return params, state


def by_telling(tx: Any, value: Any, number: int) -> tuple[Any, Any]:
    init, ask, tell = zojax.ask_tell(tx)
    params = parameters()
    state, evaluated = init(params), jax.jit(value)
    for _ in range(number):
        told = [(p, np.float32(evaluated(p.params(params)))) for p in ask(state, params)]
        random.Random(number).shuffle(told)
        params, state = tell(state, params, told)
    return params, state


@pytest.mark.usefixtures("standard_promotion")  # optax's Adam
@pytest.mark.parametrize("name", slow_except({name: name for name in TOLD}, *BY_DEFAULT))
def test_steps_are_those_of_update_to_the_bit(name: str):
    tx = TOLD[name]()
    params, state = by_telling(tx, value_fn, 3)
    expected, expected_state = by_update(tx, value_fn, 3)
    same_bits(params, expected)
    same_bits(state, expected_state)
    assert bool((params["matrix"] != parameters()["matrix"]).any())


@pytest.mark.usefixtures("standard_promotion")
@pytest.mark.parametrize("name", slow_except({name: name for name in TOLD}, "zo_adamu, 3 queries"))
def test_a_point_has_the_bits_at_which_a_copy_is_evaluated(name: str):
    """The loss is a number of the bits: one that differs would be another loss."""
    tx = TOLD[name](evaluation="copy")
    same_bits(by_telling(tx, bits, 2)[0], by_update(tx, bits, 2)[0])


def asked(tx: Any) -> tuple[Any, Any, Any, list[Any], Any]:
    init, ask, tell = zojax.ask_tell(tx)
    params = parameters()
    state = init(params)
    points = ask(state, params)
    losses = {p: float(loss(p.params(params))) for p in points}
    return tell, state, params, points, losses


def test_points_are_data():
    tx = zojax.spsa(1e-2, key=0, num_queries=2)
    _, state, params, points, _ = asked(tx)
    eps = float(np.float32(1e-2))
    assert [p.data for p in points] == [
        (0, 0, 1, eps),
        (0, 0, -1, eps),
        (0, 1, 1, eps),
        (0, 1, -1, eps),
    ]
    assert repr(points[1]) == f"Point(step=0, query=0, side=-1, scale={eps})"
    assert len({*points, *zojax.ask_tell(tx).ask(state, params)}) == 4
    ahead, behind = (p.params(params)["matrix"] for p in points[:2])
    np.testing.assert_allclose((ahead + behind) / 2, params["matrix"], atol=1e-6)
    forward = zojax.spsa(1e-2, key=0, difference="forward")
    assert [(p.query, p.side) for p in asked(forward)[3]] == [(0, 0), (0, 1)]
    same_bits(asked(forward)[3][0].params(params), params)
    centred = zojax.spsa(1e-2, key=0, num_queries=2, difference="centred")
    assert [(p.query, p.side) for p in asked(centred)[3]] == [(0, 1), (1, 1)]


@pytest.mark.quick
def test_losses_come_in_any_order_by_point_or_by_data():
    tell, state, params, points, losses = asked(zojax.es(1e-2, key=0, population=4))
    expected = tell(state, params, losses)
    sent = json.loads(json.dumps([(p.data, losses[p]) for p in reversed(points)]))
    for given in (sent, {p.data: x for p, x in losses.items()}, iter(losses.items())):
        same_bits(tell(state, params, given), expected)


def test_an_interrupted_evaluation_is_asked_for_again():
    tx = zojax.zo_adamu(1e-2, eps=1e-2, key=0, num_steps=8, num_queries=2)
    init, ask, tell = zojax.ask_tell(tx)
    params = parameters()
    state = init(params)
    for _ in range(2):
        losses = {p: float(loss(p.params(params))) for p in ask(state, params)}
        params, state = tell(state, params, losses)
    _, again, _ = zojax.ask_tell(tx)  # of another process, which has the state alone
    points, more = ask(state, params), again(state, params)
    assert points == more
    for one, other in zip(points, more, strict=True):
        same_bits(one.params(params), other.params(params))


KINDS = {
    f"{difference}, {rule}": (difference, rule)
    for difference in ("central", "forward", "centred")
    for rule in (None, "spread", "ranks")
    if (difference, rule) != ("forward", "ranks")
}


@pytest.mark.parametrize(("difference", "rule"), slow_except(KINDS, "central, None"))
def test_a_query_without_a_loss_is_dropped_and_the_estimate_is_the_mean_of_the_others(
    difference: Any, rule: Any
):
    tx = zojax.spsa(1e-2, key=0, num_queries=4, difference=difference, slope_rule=rule)
    tell, state, params, points, losses = asked(tx)
    lost = next(p for p in points if p.query == 2 and p.side == 1)
    others = {p: x for p, x in losses.items() if p != lost}
    expected = tell(state, params, others)
    for value in (None, np.nan, np.inf, np.float32("nan")):
        same_bits(tell(state, params, {**others, lost: value}), expected)
    [told] = estimator_states(expected[1])
    assert int(told.skipped) == 1
    # Against update, whose loss is NaN there.
    there = lost.params(params)["matrix"]

    def fails(p: Any) -> Any:
        return jnp.where(jnp.max(jnp.abs(p["matrix"] - there)) < 1e-6, jnp.nan, value_fn(p))

    without = by_telling(tx, fails, 1)
    same_bits(without, by_update(tx, fails, 1))
    # And against an estimate of the three others, each along its own z.
    slopes = Recorder()
    tx.update(None, tx.init(params), params, value_fn=fails, meter=slopes)
    usable = np.isfinite(slopes.scalars)
    assert usable.tolist() == [True, True, False, True]
    if rule is None and difference == "central":
        z = [(p.params(params)["matrix"] - params["matrix"]) / 1e-2 for p in points if p.side == 1]
        mean = np.mean([slopes.scalars[i] * z[i] for i in (0, 1, 3)], axis=0)
        found = without[0]["matrix"] - params["matrix"]
        np.testing.assert_allclose(found, mean, rtol=1e-2, atol=2e-2)


@pytest.mark.quick
def test_a_step_without_losses_rests():
    tell, state, params, points, losses = asked(zojax.zo_adam(1e-2, eps=1e-2, key=0))
    moved, later = tell(state, params, {})
    same_bits(moved, params)
    assert int(estimator_states(later)[0].count) == 1
    same_bits(tell(state, params, {points[0]: losses[points[0]]})[0], params)  # half a pair


@pytest.mark.quick
def test_a_step_is_told_once():
    tell, state, params, _, losses = asked(zojax.mezo(1e-2, eps=1e-2, key=0))
    params, state = tell(state, params, losses)
    with pytest.raises(ValueError, match=r"tell: losses must be of step 1.*got one of step 0"):
        tell(state, params, losses)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda p, x: [*x.items(), (p[0], 1.0)], ValueError, "one of each point, got two of"),
        (lambda p, x: [*x.items(), (p[0].data, 1.0)], ValueError, "one of each point, got two of"),
        (lambda p, x: {(0, 9, 1, 1e-2): 1.0}, ValueError, "of the points that ask gives, got one"),
        (lambda p, x: {(*p[0].data[:3], 0.5): 1.0}, ValueError, "of the points that ask gives"),
        (lambda p, x: {(7, *p[0].data[1:]): 1.0}, ValueError, "of step 0, .* got one of step 7"),
        (lambda p, x: [1.0, 2.0], TypeError, r"pairs \(point, loss\), got 1.0"),
        (lambda p, x: {0: 1.0}, TypeError, "told with their points, .* got 0"),
        (lambda p, x: {p[0]: "3.0"}, TypeError, "real numbers, got '3.0' for"),
        (lambda p, x: {p[0]: True}, TypeError, "real numbers, got True"),
        (lambda p, x: {p[0]: np.ones(2)}, TypeError, "real numbers, got array"),
        (lambda p, x: {p[0]: np.float16(1)}, ValueError, "32 bits or more, got float16"),
    ],
)
def test_other_losses_are_refused(change: Any, error: Any, message: str):
    tell, state, params, points, losses = asked(zojax.mezo(1e-2, eps=1e-2, key=0))
    with pytest.raises(error, match=f"^tell: losses must .*{message}"):
        tell(state, params, change(points, losses))


@pytest.mark.quick
def test_what_needs_more_than_losses_at_points_is_refused():
    def refused(tx: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            zojax.ask_tell(tx).init(parameters())

    rates: Any = {"learning_rate": 1e-2, "eps": 1e-2, "key": 0}
    refused(
        zojax.zo_sgd_conservative(**rates), "^zo_sgd_conservative: ask_tell .* points depend on"
    )
    refused(
        zojax.forward_gradient_sgd(1e-2, key=0), "^forward_gradient_sgd: ask_tell .* derivatives"
    )
    refused(zojax.zo_sgd_blockwise(**rates, blocks=by_path), "^zo_sgd_blockwise: .* blocks in turn")
    refused(zojax.hybrid(zojax.mezo(**rates), optax.sgd(1e-2), "matrix"), "^hybrid: .* gradients")
    refused(optax.sgd(1e-2), "^ask_tell: tx must have one estimator of zojax, .* got none")
    both = optax.chain(zojax.mezo(**rates), zojax.mezo(**rates))
    refused(both, r"one estimator of zojax, .* got 2")
    search = optax.chain(zojax.spsa(1e-2, key=0), optax.scale_by_backtracking_linesearch(3))
    with pytest.raises((ValueError, TypeError)):
        zojax.ask_tell(search).init(parameters())
    with pytest.raises(TypeError, match=r"ask_tell: tx must be an optax\.GradientTransformation"):
        zojax.ask_tell(zojax.mezo)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_a_log_replays_the_run(tmp_path: Path, dtype: Any):
    tx = zojax.es(1e-2, eps=1e-2, key=3, population=6)
    init, ask, tell = zojax.ask_tell(tx)
    first = params = parameters()
    state = init(params)
    key, impl = key_parts(jax.random.key(3))
    header = Header("es", {}, key, impl, fingerprint(params), 0, record_fields(tx, params), dtype)
    log = LogWriter(tmp_path / "log", header)
    for step in range(5):
        losses = {p: float(loss(p.params(params))) for p in ask(state, params)}
        if step == 2:
            losses.popitem()
        if step == 3:
            losses = {}
        params, state = tell(state, params, losses, log=log)
    log.close()
    read = read_log(tmp_path / "log")
    assert np.isnan(read.scalars).sum(axis=1).tolist() == [0, 0, 1, 3, 0]
    same_bits(replay(tx, first, read), params)


@pytest.mark.quick
def test_a_donated_step_is_the_same():
    tx = zojax.zo_sgd_momentum(1e-2, eps=1e-2, key=0)
    tell, state, params, _, losses = asked(tx)
    expected = jax.tree.map(np.asarray, tell(state, params, losses)[0])
    donates = zojax.ask_tell(tx, donate=True).tell
    found, _ = donates(state, params, losses)
    same_bits(found, expected)
    assert jax.tree.leaves(params)[0].is_deleted()


def test_losses_of_64_bits_are_subtracted_in_64_bits():
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        tx = zojax.spsa(0.5, key=0)
        tell, state, params, points, _ = asked(tx)
        losses = dict(zip(points, (1.0 + 1e-12, 1.0), strict=True))
        recorder = Recorder()

        class Log:
            def recorder(self) -> Recorder:
                return recorder

            def append(self, scalars: Any) -> None:
                np.testing.assert_allclose(scalars, [1e-12], rtol=1e-3)

        tell(state, params, losses, log=Log())
        narrow = {p: np.float32(x) for p, x in losses.items()}
        same_bits(tell(state, params, narrow)[0], params)


def test_integers_stay():
    params = {"w": jnp.ones((3, 2)), "ids": jnp.arange(3)}
    init, ask, tell = zojax.ask_tell(zojax.es(0.1, eps=1e-2, key=0, population=4))
    state = init(params)
    points = ask(state, params)
    assert "ids" not in points[0].adapter(params).matrices
    moved, _ = tell(state, params, {p: float(p.params(params)["w"].sum()) for p in points})
    np.testing.assert_array_equal(moved["ids"], params["ids"])
    assert bool((moved["w"] != params["w"]).any())
