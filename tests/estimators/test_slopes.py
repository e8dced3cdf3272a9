"""Slopes: guarded, in the loss's own width, with a log and without."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from draws import draws_at
from optimizers import OPTIMIZERS
from quick_compile import quick_jit
from sets import slow_except

import zojax
from zojax.estimators import estimator_states
from zojax.testing import loss, parameters, step_with
from zojax.trajectory import Recorder

# One for each way in which losses become slopes, or slopes become an update.
ESTIMATED = (
    "mezo",
    "mezo, forward",
    "mezo, batched",
    "select, mezo",
    "hybrid",
    "spsa, shaped",
    "coordinatewise",
    "spsa, sparse",
    "zo_sgd_blockwise",
    "forward_gradient_sgd",
    "zo_sgd_sign",
    "zo_sgd_momentum",
    "zo_sgd_conservative",
    "zo_adam",
    "zo_adamm",
    "zo_adamu",
)
BY_DEFAULT = ("mezo", "zo_sgd_blockwise")


def default(name: str) -> Any:
    return () if name in BY_DEFAULT else pytest.mark.slow


def same_bits(found: Any, expected: Any) -> None:
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    for x, y in pairs:
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def bits(state: Any) -> list[Any]:
    """All of a state but what tells of the step itself."""
    told = (
        "count",
        "value",
        "skipped",
        "rested",
        "key",
        "sign",
        "signs",
        "least",
        "alpha",
        "beta1",
    )
    schedules = ("b1", "b2", "eps")  # of optax.inject_hyperparams: functions of its own count
    return [
        leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
        if jax.tree_util.keystr(path[-1:], simple=True) not in (*told, *schedules)
    ]


@cache
def made(name: str) -> Any:
    """One object for all tests of an optimizer, so that they share its compiled step."""
    return OPTIMIZERS[name]()


@partial(jax.jit, static_argnums=(0, 1))
def step(tx: Any, logged: bool, params: Any, state: Any, extra: Any) -> Any:
    meter = Recorder() if logged else None
    updates, state = tx.update(None, state, params, value_fn=lambda p: loss(p) + extra, meter=meter)
    return optax.apply_updates(params, updates), state


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        *(pytest.param(name, np.nan, marks=default(name)) for name in ESTIMATED),
        ("mezo", np.inf),
        ("zo_adamu", -np.inf),
    ],
)
def test_a_loss_that_is_not_finite_moves_nothing(name: str, bad: float):
    tx = made(name)
    params = parameters()
    state = tx.init(params)
    for _ in range(3):
        params, state = step(tx, False, params, state, 0.0)
    before = int(estimator_states(state)[0].skipped)
    moved, after = step(tx, False, params, state, bad)
    same_bits(moved, params)
    [told] = estimator_states(after)
    assert int(told.skipped) > before == 0
    assert bool(told.rested)
    assert not np.isfinite(told.value)
    for leaf in jax.tree.leaves(bits(after)):
        assert np.isfinite(np.asarray(leaf, np.float64)).all()
    # And it goes on as if that batch had not been.
    moved, after = step(tx, False, moved, after, 0.0)
    assert np.isfinite(zojax.last_loss(after))
    assert all(np.isfinite(np.asarray(x)).all() for x in jax.tree.leaves(moved))
    pairs = zip(jax.tree.leaves(moved), jax.tree.leaves(params), strict=True)
    assert any((x != y).any() for x, y in pairs)


MOMENTS = [
    "zo_sgd_momentum",
    "zo_adam",
    "zo_adam, schedules",
    "zo_adamm",
    "spsa, shaped",
    "zo_adamu",
]


@pytest.mark.parametrize("name", slow_except(MOMENTS, "zo_adam, schedules", "zo_adamu"))
def test_a_step_without_a_usable_slope_leaves_the_rule_as_it_was(name: str):
    tx = made(name)
    params = parameters()
    state = tx.init(params)
    for _ in range(4):
        params, state = step(tx, False, params, state, 0.0)
    _, after = step(tx, False, params, state, np.nan)
    if name == "zo_adamu":
        # Its centre is drawn before the losses are known; the step after takes the same again.
        held = after[0].direction.centre
        moved, later = step(tx, False, params, after, np.nan)
        same_bits(later[0].direction.centre, held)
        same_bits(moved, params)
    else:
        same_bits(bits(after), bits(state))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mezo, 3 queries", "zo_adam", "zo_adamu", "one_point"])
def test_a_log_changes_no_bit(name: str):
    tx = OPTIMIZERS[name]()
    params = parameters()
    plain = logged = params, tx.init(params)
    for extra in (0.0, 0.0, np.nan, 0.0, np.inf, 0.0):
        plain = step(tx, False, *plain, extra)
        logged = step(tx, True, *logged, extra)
    same_bits(plain[0], logged[0])
    same_bits(bits(plain[1]), bits(logged[1]))


def test_one_bad_query_of_three_is_left_out_alone():
    tx = zojax.spsa(1e-2, key=0, num_queries=3, evaluation="in_place")
    params = parameters()
    clean, _ = tx.update(None, tx.init(params), params, value_fn=loss)
    calls: list[int] = []

    def second_is_bad(p: Any) -> Any:
        calls.append(1)
        return loss(p) + (np.nan if len(calls) == 3 else 0.0)

    recorder = Recorder()
    estimate, state = tx.update(
        None, tx.init(params), params, value_fn=second_is_bad, meter=recorder
    )
    assert np.isnan(recorder.scalars).tolist() == [False, True, False]
    assert int(state.skipped) == 1
    assert not bool(state.rested)
    draws = draws_at(zojax.Gaussian(), jax.random.key(0), jnp.int32(0), 3, params)
    full = Recorder()
    tx.update(None, tx.init(params), params, value_fn=loss, meter=full)
    z = draws.query(1)[0].draw((8, 4))
    others = clean["matrix"] * 3 - full.scalars[1] * z
    np.testing.assert_allclose(estimate["matrix"], others / 2, rtol=1e-4, atol=1e-5)


SCHEDULES = {
    "cosine": optax.cosine_decay_schedule(1e-2, 2),
    "linear": optax.linear_schedule(1e-2, 0.0, 2),
}
WITH_EPS = {
    "spsa": lambda eps: zojax.spsa(eps, key=0),
    "forward": lambda eps: zojax.spsa(eps, key=0, difference="forward"),
    "sparse": lambda eps: zojax.spsa(eps, key=0, direction=zojax.Sparse()),
    "centred": lambda eps: zojax.spsa(eps, key=0, num_queries=2, difference="centred"),
    "one_point": lambda eps: zojax.one_point(eps, key=0),
    "blockwise": lambda eps: zojax.blockwise(eps, key=0, blocks=lambda path, leaf: path),
    "coordinatewise": zojax.coordinatewise,
    "zo_adamu": lambda eps: zojax.zo_adamu(1e-2, eps=eps, key=0),
    "shaped": lambda eps: zojax.spsa(eps, key=0, direction=zojax.Shaped(optax.scale_by_adam())),
    "zo_adam": lambda eps: zojax.zo_adam(1e-2, eps=eps, key=0),
    "zo_sgd_conservative": lambda eps: zojax.zo_sgd_conservative(1e-2, eps=eps, key=0),
}


@pytest.mark.parametrize(
    ("name", "schedule"),
    slow_except(
        {
            **{f"{name}-linear": (name, "linear") for name in sorted(WITH_EPS)},
            "spsa-cosine": ("spsa", "cosine"),
        },
        *("one_point-linear", "blockwise-linear", "zo_sgd_conservative-linear", "spsa-cosine"),
    ),
)
@pytest.mark.usefixtures("standard_promotion")  # optax's cosine mixes int32 and float
def test_an_eps_that_ends_at_0_ends_the_run_in_peace(name: str, schedule: str):
    tx = WITH_EPS[name](SCHEDULES[schedule])
    params = parameters()
    state = tx.init(params)
    for _ in range(2):
        params, state = step(tx, False, params, state, 0.0)
    moved, state = step(tx, False, params, state, 0.0)
    for x, y in zip(jax.tree.leaves(moved), jax.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(x, y)
    [told] = estimator_states(state)
    assert int(told.skipped) > 0
    assert bool(told.rested)


@pytest.mark.parametrize("name", ["spsa", "forward", "coordinatewise", "one_point", "blockwise"])
def test_losses_of_64_bits_are_subtracted_in_64_bits(name: str):
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        params = {"w": jnp.ones(3, jnp.float32)}

        def value_fn(p: Any) -> Any:
            return 1e4 + jnp.sum(p["w"].astype(jnp.float64))

        tx = WITH_EPS[name](1e-3)
        state = tx.init(params)
        for _ in range(2):
            estimate, state = tx.update(None, state, params, value_fn=value_fn)
        if name == "coordinatewise":
            np.testing.assert_allclose(estimate["w"], 1.0, rtol=1e-4)
        draws = draws_at(zojax.Gaussian(), jax.random.key(0), jnp.int32(1), 1, params)
        if name in ("spsa", "forward", "blockwise"):
            z = np.asarray(draws.query(0)[0].draw((3,)), np.float64)
            np.testing.assert_allclose(estimate["w"], z.sum() * z, rtol=2e-3)
        if name == "one_point":
            before = draws_at(zojax.Gaussian(), jax.random.key(0), jnp.int32(0), 1, params)
            z, last = (np.asarray(d.query(0)[0].draw((3,)), np.float64) for d in (draws, before))
            np.testing.assert_allclose(estimate["w"], (z.sum() - last.sum()) * z, rtol=2e-3)


@pytest.mark.quick
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("evaluation", ["streamed", "copy", "in_place"])
def test_a_loss_of_16_bits_is_refused(dtype: str, evaluation: Any):
    tx = zojax.spsa(1e-3, key=0, evaluation=evaluation)
    params = parameters()
    with pytest.raises(ValueError, match=rf"spsa: value_fn must return .* got {dtype}.*float32"):
        tx.update(None, tx.init(params), params, value_fn=lambda p: loss(p).astype(dtype))


# --- auxiliary outputs


def with_aux(p: Any) -> Any:
    value = loss(p)
    return value, {"twice": 2 * value, "rows": p["matrix"][:2, 0]}


@pytest.mark.parametrize("name", ["mezo", "hybrid", "zo_adamu", "zo_sgd_conservative"])
def test_aux_needs_has_aux(name: str):
    params = parameters()
    tx = OPTIMIZERS[name]()
    with pytest.raises(TypeError, match=r"got a pair.*has_aux=True"):
        tx.update(None, tx.init(params), params, value_fn=with_aux)


@pytest.mark.parametrize("name", slow_except(ESTIMATED, *BY_DEFAULT))
def test_aux_is_dropped_or_kept(name: str):
    params = parameters()
    plain = OPTIMIZERS[name]()
    expected, _ = quick_jit(step_with(plain))(params, plain.init(params))
    dropping = OPTIMIZERS[name](has_aux=True)
    state = dropping.init(params)
    found, new = quick_jit(step_with(dropping, with_aux))(params, state)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), found, expected)
    assert jax.tree.structure(state) == jax.tree.structure(new)
    with pytest.raises(ValueError, match=r"last_aux: state must keep aux.*eval_shape"):
        zojax.last_aux(new)

    keeping = OPTIMIZERS[name](has_aux=jax.eval_shape(with_aux, params)[1])
    state = keeping.init(params)
    assert float(zojax.last_aux(state)["twice"]) == 0.0
    step_ = quick_jit(step_with(keeping, with_aux))
    _, new = step_(params, state)
    assert jax.tree.structure(state) == jax.tree.structure(new)
    aux = zojax.last_aux(new)
    assert aux["rows"].shape == (2,)
    np.testing.assert_allclose(aux["twice"], 2 * zojax.last_loss(new), rtol=0.1)


@pytest.mark.parametrize("evaluation", ["streamed", "copy", "in_place"])
def test_aux_is_that_of_the_first_point(evaluation: Any):
    params = parameters()
    aux = jax.eval_shape(with_aux, params)[1]
    tx = zojax.spsa(1e-2, key=0, evaluation=evaluation, has_aux=aux)
    _, state = tx.update(None, tx.init(params), params, value_fn=with_aux)
    draws = draws_at(zojax.Gaussian(), jax.random.key(0), jnp.int32(0), 1, params)
    z = draws.query(0)[0].draw((8, 4))
    np.testing.assert_allclose(
        zojax.last_aux(state)["rows"], (params["matrix"] + 1e-2 * z)[:2, 0], rtol=1e-6
    )


def test_what_is_not_aux_is_refused():
    params = parameters()
    tx = zojax.spsa(1e-2, key=0, has_aux=True)
    with pytest.raises(TypeError, match="must return a pair"):
        tx.update(None, tx.init(params), params, value_fn=loss)
    tx = zojax.spsa(1e-2, key=0, has_aux={"twice": jax.ShapeDtypeStruct((), jnp.float32)})
    with pytest.raises(TypeError, match="aux must have the structure given as has_aux"):
        tx.update(None, tx.init(params), params, value_fn=with_aux)
    with pytest.raises(ValueError, match="last_loss: state must be that of an optimizer of zojax"):
        zojax.last_loss(optax.adam(1e-3).init(params))


def test_the_last_loss_is_found_whatever_parameters_are_called():
    for make in (zojax.zo_adamu, zojax.zo_adam, zojax.zo_sgd_momentum):
        tx = make(1e-3, eps=1e-3, key=0)
        params = {"value": jnp.ones(3), "count": jnp.ones(2), "aux": jnp.ones(1)}
        _, state = quick_jit(step_with(tx))(params, tx.init(params))
        np.testing.assert_allclose(zojax.last_loss(state), 3.0, rtol=0.01)
