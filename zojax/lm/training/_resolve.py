"""A configuration with the settings that were not given, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from zojax.lm.settings import AdapterName, FinetuneConfig, HyperParameters
from zojax.lm.training._defaults import defaults_of
from zojax.lm.training._passes import passes_of_a_step
from zojax.lm.training._rate import is_in_unit, usual_schedule

_WITHOUT_LAYERS: tuple[AdapterName, ...] = ("virtual_tokens", "head")


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
        if "schedule" not in given:
            hyper = dataclasses.replace(hyper, schedule=usual_schedule(config.optimizer))
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
