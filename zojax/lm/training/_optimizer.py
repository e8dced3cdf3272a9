"""Builds an optimizer from its name and settings; the table of default settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

import zojax
from zojax.coordinates import find_blocks
from zojax.lm.settings import (
    AdapterName,
    FinetuneConfig,
    HyperParameters,
    OptimizerName,
)
from zojax.lm.training._passes import passes_of_a_step
from zojax.lm.training._rate import is_in_unit, with_rate
from zojax.lm.training._tuned import Tuned
from zojax.trajectory import Field

_FIRST_ORDER = {"schedule": "constant", "rounding": None, "weight_decay": 0.0}
_ONE_DIRECTION = {
    "eps": 1e-3,
    "direction": "gaussian",
    "evaluation": "streamed",
    "schedule": "constant",
    "rounding": None,  # by chance in 16 bits
    "subspace_rank": None,  # all of every matrix
    "subspace_refresh": None,
}
_SPSA = {
    **_ONE_DIRECTION,
    "num_queries": 1,
    "difference": "central",
    "slope_rule": "none",
    "weight_decay": 0.0,
}
# Slopes over their own size: the learning rate has one unit, whatever the loss is.
_IN_UNIT = {**_SPSA, "slope_rule": "rms"}

# The settings that each optimizer takes, with their defaults. The learning rates are those that
# benchmarks/nine_optimizers.py found best for opt-mini; where slopes are scaled, _rate.py has
# another, which fits models of other sizes.
DEFAULTS: Mapping[OptimizerName, Mapping[str, Any]] = {
    "zo_adamu": {
        "learning_rate": 3e-5,
        "anneal": "figure",
        "phases": (0.05, 0.8),
        "signed_momentum": True,
        **_IN_UNIT,
    },
    "mezo": {"learning_rate": 3e-5, **_IN_UNIT},
    "zo_sgd_sign": {"learning_rate": 1e-3, **_SPSA},
    "zo_sgd_momentum": {"learning_rate": 3e-6, "momentum": 0.9, **_IN_UNIT},
    "zo_sgd_conservative": {"learning_rate": 1e-4, **_IN_UNIT},
    "zo_sgd_blockwise": {
        "learning_rate": 1e-4,
        "in_turn": True,
        "weight_decay": 0.0,
        **_ONE_DIRECTION,
    },
    "zo_adam": {"learning_rate": 1e-4, "b1": 0.9, "b2": 0.999, **_SPSA},
    "zo_adamm": {"learning_rate": 1e-4, "b1": 0.9, "b2": 0.999, **_SPSA},
    "forward_gradient_sgd": {
        "learning_rate": 3e-5,
        **{k: v for k, v in _IN_UNIT.items() if k not in ("eps", "difference")},
    },
    "adam": {"learning_rate": 3e-4, "b1": 0.9, "b2": 0.999, **_FIRST_ORDER},
    "sgd": {"learning_rate": 1e-2, "momentum": 0.0, **_FIRST_ORDER},
}

# An adapter has fewer parameters than the model, of other magnitudes, so it needs other defaults.
# These are the values that benchmarks/adapter_defaults.py found best for opt-mini, except the
# prefix's learning rate: the best one there was the largest tried, and a third of it, which is used
# here, was not significantly worse.
WITH_ADAPTER: Mapping[AdapterName, Mapping[str, Any]] = {
    "lora": {"learning_rate": 1e-2, "eps": 1e-2, "slope_rule": "none"},
    "prefix": {"learning_rate": 0.3, "eps": 1e-1, "slope_rule": "none"},
    "virtual_tokens": {"learning_rate": 1e-2, "eps": 1e-3, "slope_rule": "none"},
    "head": {"learning_rate": 3e-4, "eps": 1e-3, "slope_rule": "none"},
}
WITH_ADAPTER_OPTIMIZERS: tuple[OptimizerName, ...] = ("zo_adamu", "mezo")
# Steps in one subspace, as in SubZero+ (arXiv:2608.15665).
REFRESH = 50
_WITHOUT_LAYERS: tuple[AdapterName, ...] = ("virtual_tokens", "head")


class Optimizer(NamedTuple):
    """A gradient transformation, and how the training step must call it."""

    tx: optax.GradientTransformationExtraArgs
    zeroth_order: bool  # update takes value_fn instead of gradients
    in_place: bool  # update must be called outside jit
    fields: tuple[Field, ...]  # fields of a step's record in the log; empty for a first-order step


def defaults_of(optimizer: OptimizerName, adapter: AdapterName) -> Mapping[str, Any]:
    """The settings that an optimizer takes with an adapter or without, and their defaults."""
    own = WITH_ADAPTER.get(adapter, {}) if optimizer in WITH_ADAPTER_OPTIMIZERS else {}
    return {**DEFAULTS[optimizer], **own}


def resolve(config: FinetuneConfig) -> FinetuneConfig:
    """Replace settings that are None by the optimizer's defaults, which depend on the adapter.

    Raises:
      ValueError: The optimizer does not take a setting that is given, or cannot tune the adapter.
    """
    adapter = config.tuned.adapter
    if config.optimizer == "zo_sgd_blockwise" and adapter in _WITHOUT_LAYERS:
        raise ValueError(
            f"finetune: zo_sgd_blockwise tunes layer by layer, and adapter {adapter} has no "
            "layers. Choose lora, prefix or no adapter, or another optimizer."
        )
    defaults = defaults_of(config.optimizer, adapter)
    given = {k: v for k, v in dataclasses.asdict(config.hyper).items() if v is not None}
    foreign = sorted(given.keys() - defaults.keys())
    if foreign:
        raise ValueError(
            f"finetune: {config.optimizer} must not be given {', '.join(foreign)}. It takes "
            f"{', '.join(defaults)}."
        )
    if config.slopes != "float32" and config.optimizer in ("adam", "sgd"):
        raise ValueError(
            f"finetune: slopes must be float32 for {config.optimizer}, which has no slopes, got "
            f"{config.slopes}."
        )
    if given.get("learning_rate") == "auto" and given.get("evaluation") == "in_place":
        raise ValueError(
            "finetune: learning_rate auto must be for evaluation streamed or copy, whose step is "
            "compiled once for all rates, got in_place. Give a number."
        )
    _check_subspace(given)
    hyper = HyperParameters(**{**defaults, **given})
    if "learning_rate" not in given and is_in_unit(config.optimizer, hyper.slope_rule):
        hyper = dataclasses.replace(hyper, learning_rate=None)  # it depends on the parameters
    config = dataclasses.replace(config, hyper=hyper)
    return dataclasses.replace(config, steps=_steps(config))


def _check_subspace(given: Mapping[str, Any]) -> None:
    for name in ("subspace_rank", "subspace_refresh"):
        if name in given and given[name] < 1:
            raise ValueError(f"finetune: {name} must be >= 1, got {given[name]}.")
    if "subspace_rank" not in given:
        if "subspace_refresh" in given:
            raise ValueError(
                f"finetune: subspace_refresh needs subspace_rank, got {given['subspace_refresh']} "
                "without it. Give both, or neither."
            )
        return
    if given.get("evaluation") == "in_place":
        raise ValueError(
            "finetune: evaluation must be streamed or copy with subspace_rank, got in_place: a "
            "subspace is a part of a compiled step."
        )
    if given.get("rounding", "nearest") != "nearest":
        raise ValueError(
            f"finetune: rounding must not be given with subspace_rank, got {given['rounding']}: "
            "what a subspace has gathered is rounded by chance when it is folded."
        )


def _steps(config: FinetuneConfig) -> int | None:
    """The steps of a configuration's budget; None for minutes, until a step has been timed."""
    budgets = {name: getattr(config, name) for name in ("steps", "passes", "minutes")}
    given = {name: value for name, value in budgets.items() if value is not None}
    if len(given) > 1:
        first, second, *_ = given
        raise ValueError(
            f"finetune: {second} must not be given with {first}, got {given[second]} and "
            f"{given[first]}. Give one."
        )
    if config.passes is not None:
        return steps_of_passes(config, config.passes)
    return config.num_steps if config.minutes is None else None


def steps_of_passes(config: FinetuneConfig, budget: int) -> int:
    """The steps that forward passes allow.

    Args:
      config: The run's resolved configuration.
      budget: Forward passes of all steps.

    Raises:
      ValueError: They are not enough for a step, or no number of passes is known before.
    """
    if config.optimizer == "zo_sgd_blockwise":
        raise ValueError(
            "finetune: passes must not be given for zo_sgd_blockwise, whose step takes two for "
            f"each layer, got {budget}. Give steps."
        )
    cost = passes_of_a_step(config, None).cost
    if budget < cost:
        raise ValueError(
            f"finetune: passes must be enough for a step of {config.optimizer}, {cost}, got "
            f"{budget}."
        )
    return budget // cost


def make_optimizer(config: FinetuneConfig, params: Any, key: jax.Array | None = None) -> Optimizer:
    """Build the optimizer of a resolved ``config``.

    Args:
      config: A configuration with the optimizer's defaults filled in, by :func:`resolve`.
      params: The parameters to tune; only their paths and shapes are read.
      key: Typed PRNG key that the optimizer's noise is drawn from; None derives it from the seed.
    """
    config = with_rate(config, params)
    settings = {k: v for k, v in dataclasses.asdict(config.hyper).items() if v is not None}
    key = jax.random.key(config.seed) if key is None else key
    rounding = settings.pop("rounding", None) or _usual_rounding(config)
    rank, refresh = settings.pop("subspace_rank", None), settings.pop("subspace_refresh", REFRESH)
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
    fields = _fields(config.optimizer, settings, params)
    settings["key"] = key
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
            tx, rank=rank, refresh=refresh, key=key, evaluation=evaluation, in_update=False
        )
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


def _fields(
    optimizer: OptimizerName, settings: Mapping[str, Any], params: Any
) -> tuple[Field, ...]:
    """The fields of a zeroth-order step's record: scalars that its update needs, besides keys."""
    if optimizer == "zo_sgd_blockwise":
        return (Field("slopes", len(find_blocks("finetune", params, "layers"))),)
    chosen = (Field("sign", 1),) if optimizer == "zo_sgd_conservative" else ()
    return (Field("slopes", settings.get("num_queries", 1)), *chosen)


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
        return optax.linear_schedule(learning_rate, 0.0, steps)
    if name == "cosine":
        return optax.cosine_decay_schedule(learning_rate, steps)
    return learning_rate


def _matrices(params: Any) -> Any:
    """Mask for weight decay: True for matrices, False for biases and normalisation scales."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
