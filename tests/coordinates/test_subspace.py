"""An optimizer in a few coordinates of every matrix: what it sees, gathers, folds and forgets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from quick_compile import quick_jit
from sets import slow_except

import zojax
from zojax import optimizers
from zojax.coordinates import SubspaceState, subspace_states
from zojax.estimators import EstimatorState, _estimator, estimator_states

# optax's own rules promote integer counts with floats; updates of 16-bit parameters are float32.
pytestmark = pytest.mark.usefixtures("standard_promotion")

KEY = jax.random.key(3)
TOKENS = jnp.arange(24).reshape(4, 6) % 13


def model(dtype: Any = jnp.float32) -> dict[str, Any]:
    """A model with a tied embedding, stacked layers, a kernel of heads, a norm and an integer."""
    sizes = {
        "embedding": (13, 16),
        "layers": {"bias": (2, 16), "kernel": (2, 16, 16)},
        "heads": (16, 4, 8),
        "out": (4, 8, 16),
        "norm": (16,),
    }
    leaves, tree = jax.tree.flatten(sizes, is_leaf=lambda x: isinstance(x, tuple))
    keys = jax.random.split(KEY, len(leaves))
    arrays = [0.3 * jax.random.normal(k, s) for k, s in zip(keys, leaves, strict=True)]
    return jax.tree.map(lambda x: x.astype(dtype), tree.unflatten(arrays)) | {"step": jnp.int32(3)}


def loss(p: dict[str, Any], tokens: Any = TOKENS) -> Any:
    x = p["embedding"][tokens]

    def layer(x: Any, one: Any) -> tuple[Any, None]:
        return x + jnp.tanh(x @ one["kernel"] + one["bias"][None, None]), None

    x, _ = jax.lax.scan(layer, x, p["layers"])
    heads = jnp.einsum("btd,dnh->btnh", x, p["heads"])
    x = x + jnp.einsum("btnh,nhd->btd", jnp.tanh(heads), p["out"])
    logits = ((x * p["norm"][None, None]) @ p["embedding"].T).astype(jnp.float32)
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[..., None] % 13, -1).mean()


def mezo(**settings: Any) -> optax.GradientTransformationExtraArgs:
    return zojax.mezo(**{"learning_rate": 1e-2, "eps": 1e-3, "key": 1, **settings})


def in_subspace(tx: Any = None, **settings: Any) -> optax.GradientTransformationExtraArgs:
    return zojax.subspace(tx or mezo(), **{"rank": 3, "refresh": 5, "key": 0, **settings})


def stepper(tx: Any, value_fn: Callable[[Any], Any] = loss) -> Callable[[Any, Any], Any]:
    @quick_jit
    def step(params: Any, state: Any) -> Any:
        updates, state = tx.update(None, state, params, value_fn=value_fn)
        return optax.apply_updates(params, updates), state

    return step


def run(tx: Any, params: Any, steps: int, value_fn: Callable[[Any], Any] = loss) -> Any:
    step, state = stepper(tx, value_fn), tx.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    return params, state


def equal(a: Any, b: Any) -> None:
    def raw(x: Any) -> Any:
        is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(x) if is_key else x)

    jax.tree.map(lambda x, y: np.testing.assert_array_equal(raw(x), raw(y)), a, b)


def test_the_optimizer_sees_a_few_coordinates():
    tx = in_subspace(zojax.zo_adam(1e-2, eps=1e-3, key=0))
    state = tx.init(model())
    assert jax.tree.map(jnp.shape, state.coordinates) == {
        "embedding": (3, 3),
        "layers": {"bias": (2, 16), "kernel": (2, 3, 3)},
        "heads": (3, 3),
        "out": (3, 3),
        "norm": (16,),
        "step": None,
    }
    assert {x.dtype for x in jax.tree.leaves(state.coordinates)} == {jnp.dtype(jnp.float32)}
    adam = next(x for x in state.inner if hasattr(x, "mu"))
    size = sum(x.size for x in jax.tree.leaves(state.coordinates))
    assert sum(x.size for x in jax.tree.leaves((adam.mu, adam.nu))) == 2 * size


@pytest.mark.parametrize(
    ("sides", "dtype", "rows"),
    slow_except(
        {
            f"{sides}-{jnp.dtype(dtype)}-{rows}": (sides, dtype, rows)
            for sides in ("both", "left", "right", "diagonal")
            for dtype in (jnp.float32, jnp.bfloat16)
            for rows in (1, 4)
        },
        *("both-bfloat16-1", "left-bfloat16-4", "right-float32-1"),
    ),
)
def test_the_loss_is_that_of_the_folded_parameters(sides: Any, dtype: Any, rows: int):
    """Streamed: of products, gathers, a scan, reshaped kernels, and a tied head."""
    params = model(dtype)
    seen: list[Any] = []

    def value_fn(p: Any) -> Any:
        return loss(p, TOKENS[:rows, :2] if rows == 1 else TOKENS)

    def spy(updates: Any, state: Any, params: Any = None, *, value_fn: Any, **_: Any) -> Any:
        seen.append(value_fn)
        return jax.tree.map(jnp.zeros_like, params), state

    inner = optax.GradientTransformationExtraArgs(lambda p: (), spy)
    found = {}
    for evaluation in ("streamed", "copy"):
        tx = in_subspace(inner, sides=sides, evaluation=evaluation)
        state = tx.init(params)
        moved = optax.tree_utils.tree_random_like(KEY, state.coordinates)
        moved = jax.tree.map(lambda x: 0.1 * x, moved)
        state = state._replace(coordinates=moved)
        tx.update(None, state, params, value_fn=value_fn)
        found[evaluation] = jax.jit(seen[-1])(moved)
        found["folded"] = value_fn(zojax.folded(params, state))
    found["before"] = value_fn(params)
    assert abs(found["copy"] - found["before"]) > 1e-3
    tolerance = 2e-6 if dtype == jnp.float32 else 2e-2
    np.testing.assert_allclose(found["streamed"], found["copy"], rtol=tolerance)
    np.testing.assert_allclose(found["folded"], found["copy"], rtol=tolerance)


def test_a_small_offset_is_seen_through_16_bits():
    """Below half a spacing of the weights, which rounding W to 16 bits would lose."""
    weights = jnp.full((64, 64), 1.0, jnp.bfloat16)
    x = jnp.ones((2, 64), jnp.bfloat16)

    def value_fn(p: Any) -> Any:
        return (jnp.dot(x, p["w"], preferred_element_type=jnp.float32) - 64.0).sum()

    seen: list[Any] = []

    def spy(updates: Any, state: Any, params: Any = None, *, value_fn: Any, **_: Any) -> Any:
        seen.append(value_fn)
        return jax.tree.map(jnp.zeros_like, params), state

    tx = in_subspace(optax.GradientTransformationExtraArgs(lambda p: (), spy))
    params = {"w": weights}
    state = tx.init(params)
    tx.update(None, state, params, value_fn=value_fn)
    s = {"w": jnp.full((3, 3), 1e-3)}
    exact = state._replace(coordinates=s)
    w = zojax.folded(jax.tree.map(lambda x: x.astype(jnp.float32), params), exact)["w"]
    wanted = (x.astype(jnp.float32) @ (w - 1.0)).sum()
    got = jax.jit(seen[0])(s) - jax.jit(seen[0])({"w": jnp.zeros((3, 3))})
    assert abs(float(wanted)) > 1e-3
    np.testing.assert_allclose(got, wanted, rtol=0.05)


def test_between_two_folds_the_parameters_stay_and_then_move_within_the_span():
    tx, params = in_subspace(), model()
    step, state = stepper(tx), tx.init(params)
    before = params
    for _ in range(4):
        params, state = step(params, state)
        equal(params, before)
    assert int(state.period) == 0
    inverses = state.inverses
    params, state = step(params, state)
    assert int(state.period) == 1
    assert all(not x.any() for x in jax.tree.leaves(state.coordinates))
    assert not np.allclose(inverses[0][0], state.inverses[0][0])
    for name in ("embedding", "heads"):
        moved = np.asarray(params[name] - before[name], np.float64).reshape(len(before[name]), -1)
        singular = np.linalg.svd(moved, compute_uv=False)
        assert singular[2] > 1e-4  # of rank 3
        assert singular[3] < 1e-5
    equal(params["step"], before["step"])


@pytest.mark.parametrize(
    "make",
    slow_except(
        {"mezo": (mezo,), "zo_adamu": (partial(zojax.zo_adamu, 1e-2, eps=1e-3, key=1),)}, "zo_adamu"
    ),
)
def test_folding_in_the_update_and_outside_are_the_same(make: Any):
    inside, _ = run(in_subspace(make()), model(), 12)
    tx, params = in_subspace(make(), in_update=False), model()
    step, state = stepper(tx), tx.init(params)
    for _ in range(12):
        shapes = jax.eval_shape(lambda s, p: tx.update(None, s, p, value_fn=loss)[0], state, params)
        assert {x.shape for x in jax.tree.leaves(shapes)} == {()}
        params, state = step(params, state)
        params, state = zojax.fold(params, state)
    assert int(state.period) == 2
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3), params, inside)
    assert loss(params) < loss(model())


def test_large_matrices_are_folded_in_tiles(monkeypatch: pytest.MonkeyPatch):
    from zojax.coordinates import _gathered

    for dtype in (jnp.float32, jnp.bfloat16):
        tx, params = in_subspace(in_update=False), model(dtype)
        state = run(tx, params, 5)[1]
        whole = zojax.folded(params, state)
        with monkeypatch.context() as patch:
            patch.setattr(_gathered, "TILE_BYTES", 5 * 16 * 4)  # 13 and 16 rows are no multiples
            jax.clear_caches()
            tiled = zojax.folded(params, state)
            moved, _ = zojax.fold(jax.tree.map(jnp.copy, params), state)
        jax.clear_caches()
        equal(tiled, moved)
        tolerance = dict(rtol=1e-6, atol=1e-7) if dtype == jnp.float32 else dict(rtol=8e-3)
        for one, other in zip(jax.tree.leaves(tiled), jax.tree.leaves(whole), strict=True):
            np.testing.assert_allclose(
                np.asarray(one, np.float32), np.asarray(other, np.float32), **tolerance
            )


def test_moments_restart_and_what_counts_the_run_goes_on():
    schedule = optax.linear_schedule(1e-2, 1e-3, 100)
    estimate = zojax.spsa(1e-3, key=1, slope_rule="rms")
    inner = zojax.chain(estimate, optax.scale_by_adam(), optax.scale_by_learning_rate(schedule))
    _, state = run(in_subspace(inner), model(), 7)
    estimator, adam, rate = state.inner
    assert (int(estimator.count), int(adam.count), int(rate.count)) == (7, 2, 7)
    _, before = run(in_subspace(inner), model(), 5)
    estimator, adam, rate = before.inner
    assert all(not x.any() for x in jax.tree.leaves((adam.mu, adam.nu)))
    assert any(x.any() for x in jax.tree.leaves(estimator.slope_rule))  # the size of slopes stays
    # ZO-AdaMU goes through its phases, and its history restarts.
    adamu = zojax.zo_adamu(1e-2, eps=1e-3, key=1, phases=(2, 6, 8))
    _, state = run(in_subspace(adamu), model(), 5)
    momentum = state.inner[0].direction
    assert all(not x.any() for x in jax.tree.leaves(momentum.centre))
    assert int(state.inner[0].count) == 5


def test_the_noise_of_periods_differs():
    tx = in_subspace(mezo(learning_rate=0.0, eps=0.1), refresh=2)
    losses: list[float] = []
    params = model()
    step, state = stepper(tx), tx.init(params)
    for _ in range(6):
        params, state = step(params, state)
        losses.append(float(zojax.last_loss(state)))
    equal(params, model())  # at rate 0 nothing moves, to the bit
    assert len(set(losses)) == 6


def through_numpy(x: Any) -> Any:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(np.asarray(jax.random.key_data(x))))
    return jnp.asarray(np.asarray(x))


def test_it_goes_on_within_a_period_to_the_bit():
    tx, params = in_subspace(zojax.zo_adamu(1e-2, eps=1e-3, key=1, num_steps=20)), model()
    step, state = stepper(tx), tx.init(params)
    for _ in range(7):
        params, state = step(params, state)
    leaves, tree = jax.tree.flatten(state)
    again = jax.tree.map(jnp.copy, params), tree.unflatten(map(through_numpy, leaves))
    for _ in range(6):
        params, state = step(params, state)
        again = step(*again)
    equal((params, state), again)


@pytest.mark.parametrize("in_update", [True, False])
def test_a_log_replays_it_to_the_bit(in_update: bool):
    from zojax.trajectory import Recorder, Replayer

    inner = zojax.zo_adamu(1e-2, eps=1e-3, key=1, num_steps=20, num_queries=2)
    tx, params = in_subspace(inner, in_update=in_update), model()
    recorder_step = jax.jit(
        lambda p, s: _recorded(tx, Recorder(), p, s), compiler_options=zojax.compiler_options()
    )
    state, rows = tx.init(params), []
    for _ in range(13):
        params, state, row = recorder_step(params, state)
        rows.append(np.asarray(row))
        params, state = zojax.fold(params, state)
    replayed = Replayer(tx).take(model(), tx.init(model()), np.stack(rows))
    equal((params, state.coordinates), (replayed[0], replayed[1].coordinates))
    equal(zojax.folded(params, state), zojax.folded(*replayed))


def _recorded(tx: Any, recorder: Any, params: Any, state: Any) -> Any:
    updates, state = tx.update(None, state, params, value_fn=loss, meter=recorder)
    return optax.apply_updates(params, updates), state, recorder.scalars


def test_a_matrix_of_full_rank_without_refresh_has_the_law_of_spsa():
    """E ĝ = g, and E‖ĝ‖² = (d + 2)‖g‖² for Gaussian noise, on a linear loss."""
    size, draws = 5, 4000
    gradient = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)

    def estimate(seed: Any) -> Any:
        tx = zojax.subspace(zojax.mezo(1.0, eps=1e-1, key=seed), rank=size, refresh=1, key=seed)
        params = {"w": jnp.zeros((size, size))}
        updates, _ = tx.update(
            None, tx.init(params), params, value_fn=lambda p: (p["w"] * gradient).sum()
        )
        return -updates["w"]

    found = np.asarray(jax.jit(jax.vmap(estimate))(jnp.arange(draws)), np.float64)
    mean, error = found.mean(0), found.std(0, ddof=1) / draws**0.5
    assert (np.abs(mean - gradient) < 5 * error).all()
    squares = (found**2).sum((1, 2))
    wanted = (size**2 + 2) * (gradient.astype(np.float64) ** 2).sum()
    assert abs(squares.mean() - wanted) < 4 * squares.std(ddof=1) / draws**0.5
    # Of the basis as of the noise: the estimates are not those of one plane.
    assert np.linalg.matrix_rank(np.cov(found.reshape(draws, -1).T)) == size**2


def test_a_quadratic_within_the_basis_is_solved_in_steps_of_its_size():
    """r² coordinates, not m·n, decide how many steps it takes."""
    rank, shape = 2, (64, 64)
    tx = zojax.subspace(
        zojax.mezo(0.25 / 1024, eps=1e-3, key=1, num_queries=4), rank=rank, refresh=None, key=0
    )
    params = {"w": jnp.zeros(shape)}
    state = tx.init(params)
    target = zojax.folded(params, state._replace(coordinates={"w": jnp.ones((rank, rank))}))["w"]

    def value_fn(p: Any) -> Any:
        return 0.5 * jnp.sum((p["w"] - target) ** 2)

    step = stepper(tx, value_fn)
    before = value_fn(params)
    for _ in range(60):
        params, state = step(params, state)
    assert value_fn(zojax.folded(params, state)) < 1e-4 * before


@pytest.mark.parametrize("refresh", [20, 50, 200])
def test_a_constant_update_lands_in_16_bits(refresh: int):
    """1e-6 for 1,000 steps on N(0, 0.02²), which rounding loses: within 1 % of float32's."""
    weights = 0.02 * jax.random.normal(KEY, (400, 500))
    start = {"w": weights.astype(jnp.bfloat16)}

    def constant(updates: Any, state: Any, params: Any = None, **_: Any) -> Any:
        return jax.tree.map(lambda x: jnp.full_like(x, 1e-6), params), state

    inner = optax.GradientTransformationExtraArgs(lambda p: (), constant)
    moved = {}
    for dtype in (jnp.bfloat16, jnp.float32):
        tx = in_subspace(inner, refresh=refresh, in_update=False, rank=4)
        params = jax.tree.map(lambda x, d=dtype: jnp.array(x, d), start)
        state = tx.init(params)
        step = jax.jit(lambda s, p, tx=tx: tx.update(None, s, p)[1])
        for _ in range(1000):
            state = step(state, params)
            params, state = zojax.fold(params, state)
        moved[dtype] = np.asarray(params["w"], np.float64) - np.asarray(start["w"], np.float64)
    exact = moved[jnp.float32]
    kept = (moved[jnp.bfloat16] * exact).sum() / (exact**2).sum()
    # An element moves by a spacing with the chance of its part of it.
    assert abs(kept - 1) < 0.01 + 3 * 0.02 * 2**-8 / (np.sqrt(exact.size) * exact.std())
    nearest = (start["w"] + jnp.bfloat16(1e-6) == start["w"]).mean()
    assert nearest > 0.9


def test_other_optimizers_within_and_around():
    params = model()
    # A selection within: the paths are those of the parameters.
    _, state = run(in_subspace(zojax.select(mezo(), "layers/*")), params, 3)
    assert not state.coordinates["embedding"].any()
    assert state.coordinates["layers"]["kernel"].any()
    # And around: the others have no coordinates.
    tx = zojax.select(in_subspace(in_update=False), ["layers/*", "norm"])
    step, state = stepper(tx), tx.init(params)
    assert state.coordinates["embedding"] is None
    moved = params
    for _ in range(5):
        moved, state = step(moved, state)
        moved, state = zojax.fold(moved, state)
    equal(moved["embedding"], params["embedding"])
    assert not np.allclose(moved["layers"]["kernel"], params["layers"]["kernel"])
    assert not np.allclose(moved["norm"], params["norm"])


def test_a_tree_beside_it_is_tuned_as_it_is():
    """An adapter beside the model: its matrices are offsets, which are all that they are."""
    params = {"model": model(), "adapter": {"a": jnp.zeros((16, 2)), "b": jnp.ones((2, 16))}}

    def value_fn(p: Any) -> Any:
        whole = dict(p["model"])
        whole["out"] = whole["out"] + (p["adapter"]["a"] @ p["adapter"]["b"])[None, :8] * 0.1
        return loss(whole)

    def matrix(path: str, leaf: Any) -> tuple[int, int] | None:
        return None if path.startswith("adapter/") or leaf.ndim < 2 else (0, 1)

    tx = in_subspace(matrix=matrix)
    moved, state = run(tx, params, 5, value_fn)
    assert state.coordinates["adapter"]["a"].shape == (16, 2)
    assert state.coordinates["model"]["out"].shape == (3, 3)
    for name in ("a", "b"):
        assert np.abs(moved["adapter"][name] - params["adapter"][name]).max() > 1e-4
    assert np.abs(moved["model"]["out"] - params["model"]["out"]).max() > 1e-4


@pytest.mark.parametrize(
    "inner",
    slow_except(
        {
            "batched": (mezo(num_queries=3, batched=True),),
            "low rank": (mezo(direction="low_rank", num_queries=2),),
            "centred": (mezo(difference="centred", num_queries=4),),
            "conservative": (zojax.zo_sgd_conservative(1e-2, eps=1e-3, key=1),),
            "zo_adamm": (zojax.zo_adamm(1e-3, eps=1e-3, key=1),),
            "coordinatewise": (optax.chain(zojax.coordinatewise(1e-3), optax.sgd(1e-2)),),
            "forward gradient": (zojax.forward_gradient_sgd(1e-2, key=1),),
        },
        "batched",
        "forward gradient",
    ),
)
def test_any_optimizer_lowers_the_loss(inner: Any):
    params, state = run(in_subspace(inner, refresh=20), model(), 60)
    assert loss(zojax.folded(params, state)) < loss(model()) - 0.02


@pytest.mark.parametrize(
    "inner",
    [mezo(), zojax.zo_adamu(1e-2, eps=1e-3, key=0, num_steps=9, num_queries=2)],
    ids=["mezo", "zo_adamu"],
)
def test_z_of_coordinates_that_are_few_is_kept_whole(inner: Any, monkeypatch: pytest.MonkeyPatch):
    lengths: list[int] = []
    found: list[Any] = []
    for share in (0.0, 1.0):
        # The model is so small that its coordinates are not few.
        monkeypatch.setattr(_estimator, "SMALL_SHARE", share)
        jax.clear_caches()
        tx = in_subspace(inner, refresh=2)
        params, state = model(), tx.init(model())
        lengths.append(len(stepper(tx).lower(params, state).as_text()))
        found.append(run(tx, params, 3))
    # z has the same bits, but losses of two programs differ in their last ones, times η over 2ε.
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), found[0][0], found[1][0])
    # One draw for all leaves in place of one for each of them.
    assert lengths[1] < 0.95 * lengths[0]


def test_batched_points_are_those_one_by_one():
    settings = dict(num_queries=3, learning_rate=1e-2)
    one = run(in_subspace(mezo(**settings)), model(), 4)[1]
    all_ = run(in_subspace(mezo(**settings, batched=True)), model(), 4)[1]
    close = partial(np.testing.assert_allclose, rtol=2e-3, atol=1e-5)
    jax.tree.map(close, one.coordinates, all_.coordinates)


def test_gradients_are_projected_and_copies_can_be_differentiated():
    params = model()
    gradient = jax.grad(loss, allow_int=True)(params)
    floats = {k: v for k, v in gradient.items() if k != "step"} | {"step": jnp.int32(0)}
    tx = in_subspace(optax.sgd(1.0))
    _, state = tx.update(floats, tx.init(params), params)
    seen: list[Any] = []

    def spy(updates: Any, state: Any, params: Any = None, *, value_fn: Any, **_: Any) -> Any:
        seen.append(jax.grad(value_fn)(params))
        return jax.tree.map(jnp.zeros_like, params), state

    inner = optax.GradientTransformationExtraArgs(lambda p: (), spy)
    copied = in_subspace(inner, evaluation="copy")
    copied.update(None, copied.init(params), params, value_fn=loss)
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, state.coordinates, jax.tree.map(jnp.negative, seen[0]))


def test_sharded_parameters_move_as_on_one_device():
    from jax.sharding import NamedSharding, PartitionSpec
    from sharded import mesh_of_eight

    mesh = mesh_of_eight("data", "model")
    specs = {
        "embedding": PartitionSpec(),
        "layers": {"bias": PartitionSpec(), "kernel": PartitionSpec(None, "data", "model")},
        "heads": PartitionSpec("data", "model"),
        "out": PartitionSpec("model", None, "data"),
        "norm": PartitionSpec(),
        "step": PartitionSpec(),
    }
    is_spec: Any = lambda x: isinstance(x, PartitionSpec)  # noqa: E731
    layout = jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs, is_leaf=is_spec)
    for in_update in (True, False):
        tx = in_subspace(mezo(), in_update=in_update)
        found = []
        for start in (model(), jax.device_put(model(), layout)):
            step, state, params = stepper(tx), jax.jit(tx.init)(start), start
            for _ in range(6):
                params, state = step(params, state)
                params, state = zojax.fold(params, state)
            found.append(params)
        assert found[1]["heads"].sharding.spec == specs["heads"]
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), *found)


def test_the_presets_are_their_formulas():
    """One step of each against float64, from the S and the factors that it has."""
    params = {"w": 0.1 * jax.random.normal(KEY, (20, 30))}
    target = jax.random.normal(jax.random.key(5), (20, 30))

    def value_fn(p: Any) -> Any:
        return jnp.sum((p["w"] - target) ** 2)

    # The gradient of value_fn at params, by float64.
    away = np.asarray(params["w"], np.float64) - np.asarray(target, np.float64)
    sides = {"subzero": "both", "lozo": "right", "lozo_m": "right", "tezo": "diagonal"}
    for name, side in sides.items():
        options = {} if name == "tezo" else {"refresh": 10}
        tx = getattr(optimizers, name)(1e-3, eps=1e-1, key=0, rank=4, **options)
        state = tx.init(params)
        assert state.plan.sides == side
        _, after = tx.update(None, state, params, value_fn=value_fn)
        # z is what the estimator inside draws, and is probed along c·U z Vᵀ.
        draws, _ = zojax.Gaussian().at_step(
            (), jax.random.key(0), jnp.int32(0), 1, state.coordinates
        )
        z = draws.query(0)[0].draw(state.coordinates["w"].shape)
        nothing = {"w": jnp.zeros((20, 30))}
        along = zojax.folded(nothing, state._replace(coordinates={"w": z}))["w"]
        slope = (2 * away * np.asarray(along, np.float64)).sum()
        share = 0.1 if name == "lozo_m" else 1.0  # of the first estimate in an average
        expected = -1e-3 * share * slope * np.asarray(z, np.float64)
        np.testing.assert_allclose(after.coordinates["w"], expected, rtol=2e-2, atol=1e-6)
    for name in ("subzero_plus", "zo_muon"):
        tx = getattr(optimizers, name)(1e-2, eps=1e-3, key=0, rank=4, refresh=10)
        moved, state = run(tx, params, 30, value_fn)
        assert value_fn(zojax.folded(moved, state)) < 0.98 * value_fn(params)


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "rank": (dict(rank=0), ValueError, "subspace: rank must be >= 1, got 0"),
    "refresh": (dict(refresh=0), ValueError, "subspace: refresh must be >= 1, got 0"),
    "rank in the update": (dict(rank=33), ValueError, "in_update must be False for a rank above"),
    "sides": (dict(sides="top"), ValueError, "subspace: sides must be one of"),
    "basis": (dict(basis="qr"), ValueError, "subspace: basis must be one of"),
    "evaluation": (dict(evaluation="in_place"), ValueError, "subspace: evaluation must be one of"),
    "in_update": (dict(in_update=1), TypeError, "subspace: in_update must be True or False"),
}


@pytest.mark.quick
@pytest.mark.parametrize("name", REFUSED)
def test_wrong_settings_are_refused(name: str):
    settings, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        in_subspace(**settings)


@pytest.mark.quick
def test_what_does_not_fit_is_refused():
    with pytest.raises(TypeError, match=r"subspace: tx must be an optax\.GradientTransformation"):
        zojax.subspace(zojax.mezo, rank=2, refresh=None, key=0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"matrix must leave an axis of columns.*got .0, 2. for w"):
        in_subspace(matrix=lambda *_: (0, 2)).init({"w": jnp.ones((4, 4))})
    with pytest.raises(TypeError, match=r"matrix must give two numbers .*got 'rows' for w"):
        in_subspace(matrix=lambda *_: "rows").init({"w": jnp.ones((4, 4))})  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="tx must not have a subspace of its own"):
        in_subspace(in_subspace()).init({"w": jnp.ones((4, 4))})
    with pytest.raises(ValueError, match=r"fold: state must be that of zojax\.subspace"):
        zojax.fold({"w": jnp.ones(2)}, mezo().init({"w": jnp.ones(2)}))
    tx, params = in_subspace(in_update=False), {"w": jnp.ones((4, 4))}
    with pytest.raises(ValueError, match="fold: it must be called outside of jit"):
        jax.jit(zojax.fold)(params, tx.init(params))
    assert zojax.folded(params, ()) is params
    assert isinstance(subspace_states((1, tx.init(params)))[0], SubspaceState)
    assert isinstance(estimator_states(tx.init(params))[0], EstimatorState)
