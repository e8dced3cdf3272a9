"""The command ``zojax baseline``, which prints a small table or a line of JSON."""

from __future__ import annotations

import json
import sys

from zojax.cli._arguments import BaselineArguments
from zojax.lm.baselines import Measured, in_context, linear_probe, zero_shot
from zojax.lm.training import FinetuneConfig, Observer


def run_baseline(arguments: BaselineArguments) -> None:
    """Measure a baseline and print its scores; progress is printed to stderr.

    Raises:
      ImportError, ValueError: As for the function of :mod:`zojax.lm.baselines`.
    """
    config = FinetuneConfig(
        model=arguments.model,
        from_pt=arguments.from_pt,
        implementation=arguments.implementation,
        dtype=arguments.dtype,
        eval_batch_size=arguments.eval_batch_size,
        seed=arguments.seed,
        data=arguments.data,
    )
    found = _measured(arguments, config, _Progress())
    if arguments.json:
        print(json.dumps({"method": arguments.method, "model": config.model, **found.to_dict()}))
    else:
        print(_table(arguments.method, found))


def _measured(arguments: BaselineArguments, config: FinetuneConfig, observer: Observer) -> Measured:
    given = arguments.demonstrations
    if arguments.method == "in-context":
        return in_context(config, observer, **({} if given is None else {"demonstrations": given}))
    if given is not None:
        raise ValueError(
            f"baseline: {arguments.method} must not be given demonstrations, got {given}. Only "
            "in-context takes them."
        )
    return (zero_shot if arguments.method == "zero-shot" else linear_probe)(config, observer)


def _table(method: str, found: Measured) -> str:
    metric = found.test.metric_name
    width = max(9, len(metric) + 1)
    lines = [f"{method:<14}{metric:>{width}}{'loss':>9}{'examples':>10}"]
    for name, scores in (("dev", found.dev), ("test", found.test)):
        lines.append(f"{name:<14}{scores.shown:>{width}}{scores.loss:>9.4f}{scores.examples:>10}")
    if found.chosen:
        chosen = ", ".join(f"{name} {value:g}" for name, value in found.chosen.items())
        lines.append(f"{'chosen':<14}{chosen}")
    cost = f"{found.rows_read} rows read, {found.seconds:.1f} s"
    return "\n".join([*lines, f"{'cost':<14}{cost}"])


class _Progress(Observer):
    def status(self, message: str) -> None:
        print(f"{message} ...", file=sys.stderr, flush=True)
