"""Every pair of members of two axes: what it makes, or the reason why it is refused."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from itertools import combinations
from typing import Any

import jax
import jax.numpy as jnp
import optax

import zojax
from zojax.slope_rules import clip, ranks, rms, sign, spread, z_scores

PARAMS = {"w": jnp.arange(1.0, 7.0).reshape(3, 2), "b": jnp.ones(2)}


def loss(p: Any) -> jax.Array:
    x = jnp.linspace(-1.0, 1.0, 12).reshape(4, 3)
    return jnp.mean(jnp.square(x @ p["w"] + p["b"][None]))


def by_path(path: str, leaf: Any) -> str:
    del leaf
    return path


DIRECTIONS: Mapping[str, Any] = {
    "Gaussian": zojax.Gaussian(),
    "Rademacher": zojax.Rademacher(),
    "Sphere": zojax.Sphere(),
    "LowRank": zojax.LowRank(),
    "Sampler": zojax.directions.Sampler(jax.random.normal),
    "Sparse": zojax.Sparse(),
    "MomentumCentred": zojax.MomentumCentred(phases=(0, 2, 4)),
    "Shaped": zojax.Shaped(optax.scale_by_adam()),
}
ESTIMATORS: Mapping[str, Callable[..., Any]] = {
    "spsa": partial(zojax.spsa, 1e-2, key=0),
    "one_point": partial(zojax.one_point, 1e-2, key=0),
    "blockwise": partial(zojax.blockwise, 1e-2, key=0, blocks=by_path),
    "blockwise, in turn": partial(zojax.blockwise, 1e-2, key=0, blocks=by_path, in_turn=1e-2),
    "coordinatewise": partial(zojax.coordinatewise, 1e-2),
    "forward_gradient": partial(zojax.forward_gradient, key=0),
}
DIFFERENCES = {name: name for name in ("central", "forward", "centred")}
SLOPE_RULES: Mapping[str, Any] = {
    "sign": sign(),
    "clip": clip(),
    "rms": rms(),
    "spread": spread(),
    "ranks": ranks(),
    "z_scores": z_scores(),
    "optax.trace": optax.trace(0.9),
}
EVALUATIONS: Mapping[str, Mapping[str, Any]] = {
    "streamed": {"evaluation": "streamed"},
    "batched": {"evaluation": "streamed", "batched": True},
    "copy": {"evaluation": "copy"},
    "in place": {"evaluation": "in_place"},
}
RULES: Mapping[str, tuple[Any, ...]] = {
    "sgd": (optax.sgd(1e-2),),
    "adam": (optax.adam(1e-2),),
    "weight decay": (optax.add_decayed_weights(0.1), optax.sgd(1e-2)),
    "conservative": (optax.sgd(1e-2), zojax.conservative()),
    "keep_in_box": (optax.sgd(1e-2), zojax.rules.keep_in_box(-9.0, 9.0)),
}
COORDINATES: Mapping[str, Callable[[Any], Any]] = {
    "all": lambda tx: tx,
    "select": lambda tx: zojax.select(tx, "w"),
    "select in select": lambda tx: zojax.select(zojax.select(tx, "w"), ["w", "b"]),
    "hybrid": lambda tx: zojax.hybrid(tx, optax.sgd(1e-2), "w"),
}
AXES: Mapping[str, Mapping[str, Any]] = {
    "direction": DIRECTIONS,
    "estimator": ESTIMATORS,
    "difference": DIFFERENCES,
    "slope rule": SLOPE_RULES,
    "evaluation": EVALUATIONS,
    "rule": RULES,
    "coordinates": COORDINATES,
}

Pair = tuple[tuple[str, str], tuple[str, str]]

# An estimator whose signature does not have an axis or a member of it, and why it could not.
NEVER = {
    ("one_point", "difference"): "it has one loss a step, and the last step's for a reference",
    ("blockwise", "difference"): "a block's slope is between both ends of its own direction",
    ("blockwise, in turn", "difference"): "a block's slope is between both ends of its direction",
    ("forward_gradient", "difference"): "its slope is a derivative, and no difference",
    ("coordinatewise", "direction"): "its directions are the coordinates",
    **dict.fromkeys(
        ((name, "batched") for name in ESTIMATORS if name != "spsa"),
        "it evaluates its points one after the other",
    ),
}


def pairs() -> Iterator[Pair]:
    """All pairs of members of two different axes."""
    for (one, members), (other, others) in combinations(AXES.items(), 2):
        for member in members:
            for another in others:
                yield (one, member), (other, another)


def build(pair: Pair) -> Any:
    """The optimizer that has both members, and on the other axes what goes with most."""
    chosen = dict(pair)
    name = chosen.get("estimator", "spsa")
    options: dict[str, Any] = {}
    if "direction" in chosen:
        options["direction"] = DIRECTIONS[chosen["direction"]]
    if "difference" in chosen:
        options["difference"] = chosen["difference"]
    if "slope rule" in chosen:
        options["slope_rule"] = SLOPE_RULES[chosen["slope rule"]]
    options |= EVALUATIONS[chosen.get("evaluation", "streamed")]
    if name in ("spsa", "forward_gradient"):
        several = {"centred", "spread", "ranks", "z_scores"} & {*chosen.values()}
        options["num_queries"] = 3 if several or chosen.get("direction") != "Shaped" else 1
    estimator = ESTIMATORS[name](**options)
    chain = zojax.chain(estimator, *RULES[chosen.get("rule", "sgd")])
    return COORDINATES[chosen.get("coordinates", "all")](chain)


def refusal(pair: Pair) -> str | None:
    """None where two steps of a pair move the parameters; otherwise why it is refused.

    Raises:
      AssertionError: It neither moves them nor is refused.
    """
    for (_, member), (axis, other) in (pair, pair[::-1]):
        for never in ((member, axis), (member, other)):
            if never in NEVER:
                return NEVER[never]
    try:
        tx = build(pair)
        state = tx.init(PARAMS)
    except ValueError as error:
        return str(error)

    def step(params: Any, state: Any) -> Any:
        updates, state = tx.update(None, state, params, value_fn=loss)
        return optax.apply_updates(params, updates), state

    # optax's Adam takes powers of integer counts, which strict settings of JAX refuse.
    settings = "standard" if dict(pair).get("rule") == "adam" else None
    in_place = "in place" in dict(pair).values()
    step = step if in_place else jax.jit(step)
    params = PARAMS
    with jax.numpy_dtype_promotion(settings) if settings else nullcontext():
        for _ in range(2):  # the first step of one_point only looks
            params, state = step(params, state)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), params, PARAMS)
    assert any(jax.tree.leaves(moved)), pair
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(params)), pair
    return None
