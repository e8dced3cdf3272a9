"""Some parameters move; of the others nothing is stored, drawn or written."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from quick_compile import quick_jit
from sets import slow_except

import zojax
from zojax.coordinates import selected
from zojax.directions import Gaussian

TREE = {
    "body": [{"kernel": jnp.ones((4, 3)), "bias": jnp.zeros(3)} for _ in range(2)],
    "head": {"kernel": jnp.ones((3, 2))},
}
PATHS = ["body/0/bias", "body/0/kernel", "body/1/bias", "body/1/kernel", "head/kernel"]


def loss(p):
    x = jnp.ones((5, 4))
    for layer in p["body"]:
        x = jnp.pad(jnp.tanh(x @ layer["kernel"] + layer["bias"][None]), ((0, 0), (0, 1)))
    return jnp.mean((x[:, :3] @ p["head"]["kernel"] - 1.0) ** 2)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("head/kernel", [0, 0, 0, 0, 1]),
        ("body/*", [1, 1, 1, 1, 0]),
        ("*/kernel", [0, 1, 0, 1, 1]),
        ("body/[1-9]/*", [0, 0, 1, 1, 0]),
        (["head/*", "body/?/bias"], [1, 0, 1, 0, 1]),
        (re.compile(r"/1/|^head"), [0, 0, 1, 1, 1]),
        ((re.compile("0/bias"), "head/*"), [1, 0, 0, 0, 1]),
        (lambda path, leaf: leaf.ndim == 2 and "0" in path, [0, 1, 0, 0, 0]),
        ({"body": True, "head": False}, [1, 1, 1, 1, 0]),
        ({"body": [{"kernel": True, "bias": False}, np.False_], "head": True}, [0, 1, 0, 0, 1]),
    ],
    ids=lambda value: "function" if callable(value) else str(value),
)
def test_ways_to_name_parameters(where, expected):
    assert selected("select", where, TREE) == [bool(x) for x in expected]


OPTIMIZERS = {
    "mezo": zojax.mezo(1e-1, eps=1e-2, key=0),
    "zo_adam": zojax.zo_adam(1e-2, eps=1e-2, key=0),
    "zo_adamu": zojax.zo_adamu(1e-2, eps=1e-2, key=0, phases=(2, 6, 8)),
    "blockwise": zojax.zo_sgd_blockwise(1e-1, eps=1e-2, key=0),
    "conservative": zojax.zo_sgd_conservative(1e-1, eps=1e-2, key=0),
    "sparse": optax.chain(zojax.spsa(1e-2, key=0, direction=zojax.Sparse()), optax.sgd(1e-2)),
    "forward": zojax.forward_gradient_sgd(1e-2, key=0),
}
# Each keeps something else of the parameters, or evaluates them in another way.
ITS_OWN_WAY = ("mezo", "zo_adamu", "blockwise", "conservative")


@pytest.mark.parametrize(
    "tx", slow_except({k: (v,) for k, v in OPTIMIZERS.items()}, *ITS_OWN_WAY, "forward")
)
@pytest.mark.usefixtures("standard_promotion")  # optax divides integers by floats
def test_moves_what_is_selected_and_stores_nothing_of_the_rest(tx):
    tx, params = zojax.select(tx, "body/*"), TREE
    state = tx.init(params)
    shapes = {leaf.shape for leaf in jax.tree.leaves(state)}
    assert (3, 2) not in shapes
    step = quick_jit(lambda p, s: tx.update(None, s, p, value_fn=loss))
    before = loss(params)
    for _ in range(30):
        updates, state = step(params, state)
        assert updates["head"]["kernel"].shape == ()
        params = optax.apply_updates(params, updates)
    np.testing.assert_array_equal(params["head"]["kernel"], TREE["head"]["kernel"])
    assert jax.tree.structure(params) == jax.tree.structure(TREE)
    assert params["body"][1]["kernel"].shape == (4, 3)
    assert not np.array_equal(params["body"][1]["kernel"], TREE["body"][1]["kernel"])
    assert loss(params) < before


def test_first_order_optimizers_work_too():
    tx = zojax.select(optax.adam(1e-2), "head/*")
    state = tx.init(TREE)
    with jax.numpy_dtype_promotion("standard"):
        updates, state = tx.update(jax.grad(loss)(TREE), state, TREE)
    assert updates["body"][0]["kernel"].shape == ()
    assert len(jax.tree.leaves(state)) == 3
    np.testing.assert_allclose(np.abs(updates["head"]["kernel"]), 1e-2, rtol=1e-3)


def test_the_noise_of_a_parameter_is_the_same_alone():
    whole, _ = zojax.spsa(1.0, key=3).update(
        None, zojax.spsa(1.0, key=3).init(TREE), TREE, value_fn=lambda p: p["body"][0]["bias"][0]
    )
    tx = zojax.select(zojax.spsa(1.0, key=3), "body/0/*")
    alone, _ = tx.update(None, tx.init(TREE), TREE, value_fn=lambda p: p["body"][0]["bias"][0])
    np.testing.assert_array_equal(whole["body"][0]["kernel"], alone["body"][0]["kernel"])


DRAWN = []


class Counting(Gaussian):
    """Notes how many elements are drawn, while it is traced."""

    def from_bits(self, bits):
        DRAWN.append(bits.size)
        return super().from_bits(bits)


@pytest.mark.quick
def test_nothing_is_drawn_for_what_stays():
    DRAWN.clear()
    params = {"large": jnp.ones((96, 77)), "small": jnp.ones((5, 3))}
    tx = zojax.select(zojax.mezo(1e-2, eps=1e-2, key=0, direction=Counting()), "small")
    state = tx.init(params)
    tx.update(None, state, params, value_fn=lambda p: jnp.sum(p["large"]) * jnp.sum(p["small"]))
    assert DRAWN
    assert max(DRAWN) <= 5 * 3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_compiled_step_writes_nothing_that_stays(dtype):
    params = {"large": jnp.ones((256, 256), dtype), "small": jnp.ones((16, 16), dtype)}

    def value_fn(p):
        return jnp.sum(p["large"].astype(jnp.float32) ** 2) + jnp.sum(
            p["small"].astype(jnp.float32) ** 2
        )

    tx = zojax.select(zojax.mezo(1e-2, eps=1e-2, key=0), "small")

    def step(params, state):
        updates, state = tx.update(None, state, params, value_fn=value_fn)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(params, tx.init(params)).compile()
    memory, large = compiled.memory_analysis(), params["large"].nbytes
    assert memory.alias_size_in_bytes >= large
    assert memory.temp_size_in_bytes < large / 4
    # The result is the argument itself.
    entry = compiled.as_text().split("ENTRY")[1]
    [argument] = re.findall(r"%(\S+) = \S+\[256,256\]\S* parameter", entry)
    root = entry[entry.index("ROOT") :]
    assert f"%{argument}" in root[: root.index("\n")]


@pytest.mark.parametrize("evaluation", ["streamed", "copy", "in_place"])
def test_value_fn_gets_the_whole_tree_and_no_bit_is_lost(evaluation):
    seen = []

    def value_fn(p):
        seen.append(jax.tree.map(lambda x: (x.shape, x.dtype), p))
        return loss(p)

    params = {**TREE, "head": {"kernel": jnp.full((3, 2), -0.0)}}
    tx = zojax.select(zojax.mezo(1e-2, eps=1e-2, key=0, evaluation=evaluation), "body/*")
    updates, _ = tx.update(None, tx.init(params), params, value_fn=value_fn)
    assert all(s == jax.tree.map(lambda x: (x.shape, x.dtype), params) for s in seen)
    after = optax.apply_updates(params, updates)
    assert np.signbit(after["head"]["kernel"]).all()


def test_nnx_states():
    module = nnx.Sequential(nnx.Linear(4, 8, rngs=nnx.Rngs(0)), nnx.Linear(8, 1, rngs=nnx.Rngs(1)))
    graph, params = nnx.split(module, nnx.Param)
    x = jnp.ones((3, 4))
    tx = zojax.select(zojax.mezo(1e-2, eps=1e-2, key=0), re.compile("layers/1/"))

    @jax.jit
    def step(params, state):
        def value_fn(p):
            return jnp.mean((nnx.merge(graph, p)(x) - 1.0) ** 2)

        updates, state = tx.update(None, state, params, value_fn=value_fn)
        return optax.apply_updates(params, updates), state

    after, _ = step(params, tx.init(params))
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), params, after)
    assert jax.tree.leaves(moved) == [False, False, True, True]


@pytest.mark.quick
@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        (
            "haed/*",
            ValueError,
            r"select: no parameter matches 'haed/\*'. The first paths are \['bo",
        ),
        (["head/*", re.compile("x$")], ValueError, r"no parameter matches 'x\$'"),
        (lambda path, leaf: False, ValueError, "select: where selects no parameter. The first"),
        ({"body": True}, ValueError, "select: a tree of bools must have the structure of params"),
        (lambda path, leaf: 1, TypeError, "must give a bool for each path, got 1 at body/0/bias"),
        (None, ValueError, "a tree of bools must have"),
    ],
)
def test_bad_selections_are_refused(where, error, message):
    with pytest.raises(error, match=message):
        zojax.select(zojax.mezo(1e-2, eps=1e-2, key=0), where).init(TREE)


def test_a_function_that_reads_values_is_refused_at_init():
    """A traced step has none: it was taken by init, and refused by the first compiled update."""
    tx = zojax.select(
        zojax.mezo(1e-2, eps=1e-2, key=0), lambda path, leaf: bool(abs(leaf).max() > 0)
    )
    with pytest.raises(TypeError, match="ShapeDtypeStruct"):
        tx.init(TREE)


def test_what_cannot_move_is_refused_at_init():
    params = {"steps": jnp.arange(3), "w": jnp.ones(3)}
    with pytest.raises(ValueError, match="mezo: params hold no floating-point leaf"):
        zojax.select(zojax.mezo(1e-2, eps=1e-2, key=0), "steps").init(params)
    with pytest.raises(TypeError, match=r"mezo: parameter \['c'\] has dtype complex64"):
        zojax.select(zojax.mezo(1e-2, eps=1e-2, key=0), "c").init({"c": jnp.ones(2, jnp.complex64)})
    # Links of zojax that are chained after a selection see all parameters.
    tail = zojax.conservative()
    with pytest.raises(TypeError, match=r"conservative: parameter \['c'\] has dtype complex64"):
        optax.chain(zojax.select(zojax.spsa(1e-2, key=0), "w"), tail).init(ODD)


ODD = {
    "c": jnp.array([1.0 + 2.0j, complex(-0.0, -0.0)]),
    "key": jax.random.key(3),
    "keys": jax.random.split(jax.random.key(4), 2),
    "steps": jnp.arange(3),
    "w": jnp.array([1.0, -2.0, 3.0]),
}


def odd_loss(p):
    kept = jax.random.bernoulli(p["key"], 0.5, (3,)) | jax.random.bernoulli(p["keys"][1], 0.5, (3,))
    return jnp.sum(jnp.where(kept, p["w"], 2.0 * p["w"]) ** 2) * jnp.abs(p["c"][0])


@pytest.mark.parametrize(
    "name",
    slow_except(
        ["mezo", "zo_adam", "zo_adamu", "forward", "conservative"],
        *("zo_adamu", "forward", "conservative"),
    ),
)
def test_what_stays_may_be_of_any_dtype(name):
    optimizer = zojax.mezo(1e-2, eps=1e-2, key=0) if name == "mezo" else OPTIMIZERS[name]
    tx, params = zojax.select(optimizer, "w"), ODD

    @jax.jit
    def step(params, state):
        updates, state = tx.update(None, state, params, value_fn=odd_loss)
        moved = jax.tree.map(lambda p, u: p if u is None else p + u, params, updates)
        return moved, updates, state

    state = tx.init(params)
    before = odd_loss(params)
    for _ in range(30):
        params, updates, state = step(params, state)
    assert updates["key"] is None
    assert updates["keys"] is None
    assert updates["c"].dtype == jnp.complex64
    for name in ("c", "steps"):
        assert np.asarray(params[name]).tobytes() == np.asarray(ODD[name]).tobytes()
    assert params["key"] == ODD["key"]
    assert bool(jnp.all(params["keys"] == ODD["keys"]))
    assert odd_loss(params) < before


def test_complex_parameters_that_stay_need_no_other_loop():
    params = {"c": ODD["c"], "w": ODD["w"]}
    tx = zojax.select(zojax.mezo(1e-2, eps=1e-2, key=0), "w")

    @jax.jit
    def step(params, state):
        updates, state = tx.update(
            None, state, params, value_fn=lambda p: jnp.sum(p["w"] * p["c"][0].real)
        )
        return optax.apply_updates(params, updates), state

    after, _ = step(params, tx.init(params))
    assert np.asarray(after["c"]).tobytes() == np.asarray(ODD["c"]).tobytes()
    assert not np.array_equal(after["w"], params["w"])


def test_a_selection_within_a_selection_keeps_keys():
    tx = zojax.select(zojax.select(zojax.mezo(1e-2, eps=1e-2, key=0), "w"), ["w", "key", "steps"])
    updates, _ = tx.update(None, tx.init(ODD), ODD, value_fn=odd_loss)
    assert updates["key"] is None
    assert updates["keys"] is None
    assert updates["steps"].shape == ()
    assert updates["w"].shape == (3,)


@pytest.mark.slow
@pytest.mark.parametrize("evaluation", ["streamed", "copy", "in_place"])
@pytest.mark.parametrize("rate", [-1e-2, -1e3])
def test_a_conservative_step_after_a_selection(evaluation, rate):
    """What stays has a scalar for its update; the loss is that of the whole chain selected."""
    links = [zojax.spsa(1e-2, key=0), optax.scale(rate), zojax.conservative(evaluation=evaluation)]
    outside = optax.chain(zojax.select(links[0], "body/*"), *links[1:])
    around = zojax.select(optax.chain(*links), "body/*")
    results = []

    def value_fn(p):
        return loss(p) + 1e-2 * sum(jnp.sum(x * x) for x in jax.tree.leaves(p))

    for tx in (outside, around):
        updates, state = tx.update(None, tx.init(TREE), TREE, value_fn=value_fn)
        results.append((optax.apply_updates(TREE, updates), state[-1]))
    (first, state), (second, expected) = results
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert float(state.sign) == float(expected.sign) == (1.0 if rate > -1.0 else 0.0)
    np.testing.assert_allclose(state.least, expected.least, rtol=1e-6)


def test_params_are_needed():
    tx = zojax.select(zojax.mezo(1e-2, eps=1e-2, key=0), "head/*")
    with pytest.raises(ValueError, match="select: params are needed"):
        tx.update(None, tx.init(TREE), value_fn=loss)


def test_a_number_that_stays_is_an_array_for_the_loss_outside_of_jit():
    seen = []

    def value_fn(p):
        seen.append(p["times"].dtype)
        return p["times"].astype(jnp.float32) * jnp.sum(p["w"] ** 2)

    tx = zojax.select(zojax.mezo(1e-2, eps=1e-2, key=0), "w")
    params = {"times": 3, "w": jnp.ones(3)}
    updates, _ = tx.update(None, tx.init(params), params, value_fn=value_fn)
    assert {*seen} == {jnp.result_type(3)}
    assert updates["w"].any()
