"""Builds an optimizer from its name and settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

import zojax
from zojax.coordinates import find_blocks
from zojax.directions import Relative
from zojax.lm.settings import FinetuneConfig
from zojax.lm.training._defaults import REFRESH
from zojax.lm.training._rate import queries_of, with_rate
from zojax.lm.training._tuned import Tuned
from zojax.quantized import any_quantized, scales
from zojax.trajectory import Field

LAST = 0.1
"""The share of a decreasing learning rate that is left at the end: a run may be extended."""


class Optimizer(NamedTuple):
    """A gradient transformation, and how the training step must call it."""

    tx: optax.GradientTransformationExtraArgs
    zeroth_order: bool  # update takes value_fn instead of gradients
    in_place: bool  # update must be called outside jit
    fields: tuple[Field, ...]  # fields of a step's record in the log; empty for a first-order step


def make_optimizer(config: FinetuneConfig, params: Any, key: jax.Array | None = None) -> Optimizer:
    """Build the optimizer of a resolved ``config``.

    Args:
      config: A configuration with the optimizer's defaults filled in, by :func:`resolve`.
      params: The parameters to tune; only their paths and shapes are read. Of quantized weights a
        subspace is tuned, or the scales.
      key: Typed PRNG key that the optimizer's noise is drawn from; None derives it from the seed.
    """
    config = with_rate(config, params)
    settings = {k: v for k, v in dataclasses.asdict(config.hyper).items() if v is not None}
    key = jax.random.key(config.seed) if key is None else key
    rounding = settings.pop("rounding", None) or _usual_rounding(config)
    rank, refresh = settings.pop("subspace_rank", None), settings.pop("subspace_refresh", REFRESH)
    integers = any_quantized(params)
    if settings.get("slope_rule") == "none":
        del settings["slope_rule"]
    rate = partial(_schedule, settings.pop("schedule"), steps=config.num_planned)
    given = settings.pop("learning_rate")
    if "weight_decay" in settings:
        settings["mask"] = _matrices
    if config.optimizer in ("adam", "sgd"):
        build = optax.adamw if config.optimizer == "adam" else _sgd
        tx = _with_rate_in_state(partial(build, **settings), rate, given)
        return Optimizer(_rounded(tx, rounding, key), False, False, ())
    fields = _fields(config, params)
    settings["key"] = key
    if integers and rank is None:
        # What is a small step for one layer's scales is a large one for another's.
        settings["direction"] = Relative(settings["direction"])
    if config.optimizer == "es":
        settings["rank"] = settings.pop("direction_rank")
        settings["shaping"] = settings.pop("slope_rule", None)
    if "phases" in settings:
        settings["phases"] = _phases(settings["phases"], config.num_planned)
    in_place = settings["evaluation"] == "in_place"
    build = partial(getattr(zojax, config.optimizer), **settings)
    # In place, update runs outside jit and keeps its compiled programs in the transformation:
    # inject_hyperparams would build a new transformation, and compile again, in every step.
    tx = build(rate(given)) if in_place else _with_rate_in_state(build, rate, given)
    if rank is not None:
        evaluation = "copy" if settings["evaluation"] == "copy" else "streamed"
        tx = zojax.subspace(
            tx,
            rank=rank,
            refresh=None if integers else refresh,
            key=key,
            evaluation=evaluation,
            in_update=False,
        )
    elif integers:
        tx = zojax.select(tx, scales(params))
    return Optimizer(_rounded(tx, rounding, key), True, in_place, fields)


def _usual_rounding(config: FinetuneConfig) -> str:
    """By chance, where updates of a large model would be lost, and nothing else makes up for it.

    benchmarks/rounding.py finds nothing lost by it, and benchmarks/landing.py what is without it.
    """
    wide = config.dtype == "float32" or config.hyper.subspace_rank is not None
    return "nearest" if wide else "stochastic"


def optimizer_of(config: FinetuneConfig, tuned: Tuned, key: jax.Array | None = None) -> Optimizer:
    """The optimizer of a resolved ``config`` for a model, of which it moves what is trainable."""
    optimizer = make_optimizer(config, tuned.trainable(tuned.model.params), key)
    return optimizer._replace(tx=tuned.only(optimizer.tx))


def _with_rate_in_state(
    build: Callable[[Any], optax.GradientTransformationExtraArgs],
    schedule: Callable[[Any], optax.ScalarOrSchedule],
    rate: float,
) -> optax.GradientTransformationExtraArgs:
    """Keep the learning rate in the state: runs with different rates share one program."""
    build(rate)  # checks the rate's value, which is unknown once it is traced

    def with_rate(learning_rate: Any) -> optax.GradientTransformationExtraArgs:
        return build(schedule(learning_rate))

    return optax.inject_hyperparams(with_rate, hyperparam_dtype=jnp.float32)(rate)  # pyright: ignore[reportReturnType]


def _rounded(
    tx: optax.GradientTransformationExtraArgs, rounding: str, key: jax.Array
) -> optax.GradientTransformationExtraArgs:
    """The optimizer with a last link that makes small updates of 16-bit parameters land."""
    if rounding == "nearest":
        return tx
    stochastic = rounding == "stochastic"
    return optax.chain(
        tx, zojax.stochastic_rounding(key=key) if stochastic else zojax.compensated()
    )


def _fields(config: FinetuneConfig, params: Any) -> tuple[Field, ...]:
    """The fields of a zeroth-order step's record: scalars that its update needs, besides keys."""
    if config.optimizer == "zo_sgd_blockwise":
        return (Field("slopes", len(find_blocks("finetune", params, "layers"))),)
    chosen = (Field("sign", 1),) if config.optimizer == "zo_sgd_conservative" else ()
    return (Field("slopes", queries_of(config)), *chosen)


def _sgd(
    learning_rate: optax.ScalarOrSchedule, weight_decay: float, mask: Any, momentum: float
) -> optax.GradientTransformationExtraArgs:
    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask), optax.sgd(learning_rate, momentum)
    )


def _phases(fractions: tuple[float, float], steps: int) -> tuple[int, int, int]:
    start, end = fractions
    if not 0 <= start < end <= 1:
        raise ValueError(
            f"finetune: phases must be fractions 0 <= start < end <= 1 of the steps, got "
            f"{fractions}."
        )
    return round(start * steps), round(end * steps), steps


def _schedule(name: str, learning_rate: Any, steps: int) -> optax.ScalarOrSchedule:
    if name == "linear":
        return optax.linear_schedule(learning_rate, LAST * learning_rate, steps)
    if name == "cosine":
        return optax.cosine_decay_schedule(learning_rate, steps, alpha=LAST)
    return learning_rate


def _matrices(params: Any) -> Any:
    """Mask for weight decay: True for matrices, False for biases and normalisation scales."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
