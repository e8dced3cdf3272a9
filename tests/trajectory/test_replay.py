"""Every optimizer's parameters again, to the bit, from what its updates measured."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optimizers import NEVER_REPLAYED, OPTIMIZERS
from sets import slow_except

import zojax
from zojax.trajectory import (
    Field,
    Header,
    Log,
    LogWriter,
    Recorder,
    Replayer,
    fingerprint,
    key_parts,
    read_log,
    replay,
)

STEPS = 8
# Each of them is two compilations: those that differ in how losses become updates.
NAMES = (
    "mezo, 3 queries",
    "select, zo_adamu",
    "spsa, shaped",
    "one_point",
    "spsa, sparse",
    "zo_sgd_blockwise",
    "forward_gradient_sgd",
    "zo_sgd_momentum",
    "zo_sgd_conservative",
    "zo_adam, schedules",
    "zo_adamm, box",
    "mezo, decay",
)
NARROW = ("zo_adam", "zo_adamu")
# Of these the updates are a rule's or a link's that others have as well.
REPETITIONS = ("select, zo_adamu", "zo_sgd_momentum", "zo_adamm, box", "mezo, decay")
CASES = slow_except(
    {
        f"{name}-{dtype}": (name, dtype)
        for names, dtype in ((NAMES, "float32"), (NARROW, "bfloat16"))
        for name in names
    },
    *(f"{name}-float32" for name in NAMES if name not in REPETITIONS),
    *(f"{name}-bfloat16" for name in NARROW),
)


def parameters(dtype: str) -> dict[str, Any]:
    keys = jax.random.split(jax.random.key(3), 3)
    matrix, first, second = (
        jax.random.normal(key, shape).astype(dtype)
        for key, shape in zip(keys, [(33, 7), (8, 16), (5,)], strict=True)
    )
    return {"matrix": matrix, "nested": [first, second]}


def loss(params: Any, batch: Any) -> Any:
    x = jnp.tanh(batch @ params["matrix"])[:, :5].astype(jnp.float32)
    sizes = [jnp.sum(jnp.square(leaf.astype(jnp.float32))) for leaf in params["nested"]]
    return (jnp.sum(jnp.square(x)) + sum(sizes)) / 1000


def trained(tx: Any, params: Any, dtype: str, log_dtype: str = "float32") -> tuple[Any, Any, Any]:
    """Parameters, state and scalars [n, k] after the steps, in a program of whole steps."""

    @partial(jax.jit, donate_argnums=(0, 1), compiler_options=zojax.compiler_options())
    def step(params: Any, state: Any, batch: Any) -> Any:
        recorder = Recorder(log_dtype)
        updates, state = tx.update(
            None, state, params, value_fn=lambda p: loss(p, batch), meter=recorder
        )
        return optax.apply_updates(params, updates), state, recorder.scalars

    params = jax.tree.map(jnp.copy, params)
    state = tx.init(params)
    rows = []
    for i in range(STEPS):
        batch = jax.random.normal(jax.random.key(100 + i), (4, 33)).astype(dtype)
        params, state, row = step(params, state, batch)
        rows.append(np.asarray(row))
    return params, state, np.stack(rows)


def same_bits(found: Any, expected: Any) -> None:
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def differ(found: Any, other: Any) -> bool:
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(other), strict=True)
    return any(bool((x != y).any()) for x, y in pairs)


def without_losses(state: Any) -> list[Any]:
    """All of a state that the next step depends on."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    names = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
    return [
        jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
        for name, leaf in names.items()
        if name.rpartition("/")[2] not in ("value", "least")
    ]


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_replay_is_the_run_to_the_bit(name: str, dtype: str):
    tx = OPTIMIZERS[name]()
    base = parameters(dtype)
    params, state, scalars = trained(tx, base, dtype)
    assert np.isfinite(scalars).all()
    start = jax.tree.map(jnp.copy, base)
    found, found_state = Replayer(tx).take(start, tx.init(base), scalars)
    same_bits(found, params)
    if not name.startswith("one_point"):  # its last loss is its state
        same_bits(without_losses(found_state), without_losses(state))
    assert differ(found, base)


@pytest.mark.parametrize("name", sorted(NEVER_REPLAYED))
def test_what_needs_more_than_the_log_is_refused(name: str):
    tx = OPTIMIZERS[name]()
    base = parameters("float32")
    with pytest.raises(ValueError, match="depend only on keys and the log's scalars"):
        Replayer(tx).take(base, tx.init(base), np.zeros((1, 1), np.float32))


@pytest.mark.quick
def test_bfloat16_slopes_are_those_of_the_update():
    tx = OPTIMIZERS["mezo, 3 queries"]()
    base = parameters("float32")
    params, _, scalars = trained(tx, base, "float32", "bfloat16")
    np.testing.assert_array_equal(scalars, scalars.astype(jnp.bfloat16).astype(np.float32))
    start = jax.tree.map(jnp.copy, base)
    same_bits(Replayer(tx).take(start, tx.init(base), scalars)[0], params)
    exact, _, _ = trained(tx, base, "float32")
    assert differ(exact, params)


@pytest.mark.parametrize(
    ("name", "bad"),
    [("mezo", np.nan), ("zo_adam", np.inf), ("zo_adamu", -np.inf), ("zo_sgd_blockwise", np.nan)],
)
def test_what_is_not_finite_reaches_neither_parameters_nor_moments(name: str, bad: float):
    tx = OPTIMIZERS[name]()
    params = parameters("float32")
    state = tx.init(params)
    recorder = Recorder()

    def broken(p: Any) -> Any:
        return loss(p, jnp.ones((4, 33))) + jnp.where(p["matrix"][0, 0] > 0, bad, 0.0)

    def update(state: Any, params: Any) -> Any:
        updates, state = tx.update(None, state, params, value_fn=broken, meter=recorder)
        return optax.apply_updates(params, updates), state, recorder.scalars

    params = {**params, "matrix": params["matrix"].at[0, 0].set(0.0)}
    moved, state, scalars = jax.jit(update)(state, params)
    for leaf in jax.tree.leaves((moved, without_losses(state))):
        assert np.isfinite(np.asarray(leaf, np.float32)).all()
    if name == "zo_sgd_blockwise":
        # The other blocks' losses are finite, for the matrix stays at 0 there.
        assert np.isnan(scalars).sum() == 1
        np.testing.assert_array_equal(moved["matrix"], params["matrix"])
        assert differ(moved, params)
    else:
        assert np.isnan(scalars).all()
        jax.tree.map(np.testing.assert_array_equal, moved, params)


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Any, Any, list[Any], Path]:
    """An optimizer, its base parameters, those after every step, and the log."""
    path = tmp_path_factory.mktemp("run") / "run.log"
    tx = zojax.mezo(1e-2, eps=1e-2, key=5)
    base = parameters("float32")
    key, impl = key_parts(jax.random.key(5))
    header = Header("mezo", {}, key, impl, fingerprint(base), 5, (Field("slopes", 1),))
    _, _, scalars = trained(tx, base, "float32")
    writer, replayer = LogWriter(path, header), Replayer(tx)
    params, state = jax.tree.map(jnp.copy, base), tx.init(base)
    steps = [base]
    for row in scalars:
        writer.append(row)
        params, state = replayer.take(params, state, row[None])
        steps.append(jax.tree.map(np.array, params))
    writer.close()
    return tx, base, steps, path


def test_until_picks_the_step(run: Any):
    tx, base, steps, path = run
    log = read_log(path)
    for until in (0, 1, 5, STEPS):
        same_bits(replay(tx, base, log, until=until), steps[until])
    same_bits(replay(tx, base, log), steps[-1])
    for until in (-1, STEPS + 1):
        with pytest.raises(ValueError, match=f"until must lie within 0 … {STEPS}"):
            replay(tx, base, log, until=until)


def test_the_key_is_in_the_log(run: Any):
    _, base, steps, path = run
    log = read_log(path)
    same_bits(replay(zojax.mezo(1e-2, eps=1e-2, key=log.header.prng_key()), base, log), steps[-1])


def test_another_base_model_is_refused(run: Any):
    tx, base, _, path = run
    log: Log = read_log(path)
    other = {**base, "matrix": base["matrix"].at[0, 0].add(1e-6)}
    with pytest.raises(ValueError, match="params must be those that the log starts from"):
        replay(tx, other, log)


@pytest.mark.parametrize(
    ("name", "fields"),
    {
        "mezo, 3 queries": [("slopes", 3)],
        "one_point": [("loss", 1)],
        "coordinatewise": [("slopes", 33 * 7 + 8 * 16 + 5)],
        "zo_sgd_blockwise": [("slopes", 3)],
        "zo_sgd_conservative": [("slopes", 1), ("sign", 1)],
    }.items(),
)
def test_a_recorder_lists_the_fields_in_the_order_of_the_chain(name: str, fields: Any):
    tx, base, recorder = OPTIMIZERS[name](), parameters("float32"), Recorder()
    batch = jnp.ones((4, 33))
    jax.eval_shape(
        lambda state: tx.update(
            None, state, base, value_fn=lambda p: loss(p, batch), meter=recorder
        ),
        tx.init(base),
    )
    assert recorder.fields == fields
    assert all(isinstance(field, Field) for field in recorder.fields)


@pytest.mark.parametrize("other", [jax.random.key(6), jax.random.key(5, impl="rbg")])
def test_another_key_is_refused(run: Any, other: Any):
    _, base, _, path = run
    with pytest.raises(ValueError, match=r"replay: tx must have the key of the run, \(0, 5\)"):
        replay(zojax.mezo(1e-2, eps=1e-2, key=other), base, read_log(path))


def test_an_optimizer_without_a_key_is_replayed(run: Any):
    """Its steps depend on the slopes alone, whatever key the header has."""
    _, base, _, path = run
    tx = optax.chain(zojax.coordinatewise(1e-2), optax.scale_by_learning_rate(1e-2))
    scalars = np.ones((1, sum(leaf.size for leaf in jax.tree.leaves(base))), np.float32)
    log = read_log(path)._replace(scalars=scalars)
    for before, after in zip(
        jax.tree.leaves(base), jax.tree.leaves(replay(tx, base, log)), strict=True
    ):
        np.testing.assert_allclose(after, before - 1e-2, rtol=1e-5)


def test_a_step_outside_of_jit_is_replayed_outside_of_jit():
    tx = zojax.zo_sgd_momentum(1e-3, eps=1e-2, key=0, evaluation="in_place")
    base = parameters("float32")
    params, state = jax.tree.map(jnp.copy, base), tx.init(base)
    rows = []
    for i in range(4):
        batch = jax.random.normal(jax.random.key(100 + i), (4, 33))
        recorder = Recorder()
        updates, state = tx.update(
            None, state, params, value_fn=partial(loss, batch=batch), meter=recorder
        )
        params = optax.apply_updates(params, updates)
        rows.append(np.asarray(recorder.scalars))
    start = jax.tree.map(jnp.copy, base)
    found = Replayer(tx, compiled=False).take(start, tx.init(base), np.stack(rows))[0]
    same_bits(found, params)


def test_an_optimizer_that_asks_for_more_than_the_log_has_is_refused():
    base = parameters("float32")
    tx = zojax.mezo(1e-2, eps=1e-2, key=0, num_queries=2)
    with pytest.raises(ValueError, match=r"replay: the update needs 2 of kind 'slopes'.*log has 1"):
        Replayer(tx).take(base, tx.init(base), np.zeros((1, 1), np.float32))
