"""The sections of each command's help, in the order in which people need them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from zojax.cli._options import Option

_DEVICES = ("parallel", "mesh", "layout")
_WORKERS = ("workers", "worker_seconds")


def _named(*names: str) -> Callable[[Option], bool]:
    return lambda one: one.name in names


def _in_group(*group: str) -> Callable[[Option], bool]:
    return lambda one: one.group == group


# An option is shown in the first section that it belongs to.
SECTIONS: Mapping[str, Mapping[str, Callable[[Option], bool]]] = {
    "finetune": {
        "model": _named("model", "dtype", "quantize", "from_pt", "implementation"),
        "data": _in_group("config", "data"),
        "reward": _in_group("config", "scoring"),
        "method": _named(
            "optimizer",
            "steps",
            "passes",
            "minutes",
            "planned_steps",
            "patience",
            "batch_size",
            "micro_batch",
            "objective",
            "seed",
        ),
        "settings of the optimizer (zojax finetune --defaults shows each one's)": _in_group(
            "config", "hyper"
        ),
        "adapter": _in_group("config", "tuned"),
        "output": _named("output", "overwrite", "resume", "keep"),
        "run": lambda one: one.group == ("config",) and one.name not in _DEVICES + _WORKERS,
        "several devices": _named(*_DEVICES),
        "several processes": _in_group("job"),
        "workers": _named(*_WORKERS),
    },
    "plan": {
        "model": _named("model", "dtype", "quantize", "adapter", "rank"),
        "step": _named("optimizer", "batch_size", "max_length", "rows_per_example", "num_queries"),
        "devices": _named("device", "devices", "mesh", "layout"),
        "run": _named("steps", "price"),
    },
    "baseline": {"options": _in_group(), "data": _in_group("data")},
}
