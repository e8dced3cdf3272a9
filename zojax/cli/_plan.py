"""The command ``zojax plan``: prints a report, and writes files if they are requested."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from zojax.cli._devices import use_cpu
from zojax.cli._plan_arguments import PlanArguments
from zojax.sharding import read_mesh

_COMPARED = ("adam", "mezo", "zo_adamu")
_BATCH, _LENGTH = 16, 256
_PAPER_BATCH, _PAPER_LENGTH = 1, 400  # as in the MeZO paper's table


def run_plan(arguments: PlanArguments) -> None:
    """Plan a step and print the report; progress is printed to stderr.

    Raises:
      FileExistsError: A file to write exists already.
      ImportError, ValueError: As for :func:`zojax.planning.plan` and
        :func:`zojax.lm.models.workload`.
    """
    use_cpu()  # planning runs nothing on a device, so no plugin needs to look for one
    for option in ("json", "chart"):
        _check_new(option, getattr(arguments, option), arguments.overwrite)
    if arguments.largest:
        _largest(arguments)
        return
    from zojax.lm.models import workload
    from zojax.planning import chart, plan, report

    tokens = {
        "batch": _BATCH if arguments.batch is None else arguments.batch,
        "length": _LENGTH if arguments.length is None else arguments.length,
    }
    found = plan(
        partial(workload, arguments.model, **tokens, dtype=arguments.dtype),
        arguments.optimizer,
        arguments.device,
        devices=arguments.devices,
        mesh=_axes(arguments),
        full=arguments.full,
        tell=_tell,
    )
    print(report(found))
    _write_json(arguments.json, {**found.to_dict(), **tokens})
    if arguments.chart is not None:
        chart(found, arguments.chart)
        print(f"chart: {arguments.chart}")


def _axes(arguments: PlanArguments) -> dict[str, int] | None:
    if arguments.mesh is not None:
        return read_mesh("plan", arguments.mesh, arguments.layout)
    if arguments.layout is not None:
        raise ValueError(f"plan: layout needs mesh, got {arguments.layout} without one. Give both.")
    return None


def _largest(arguments: PlanArguments) -> None:
    from zojax.lm.models import OPT_MODELS, workload
    from zojax.planning import largest

    if arguments.chart is not None:
        raise ValueError("plan: chart must not be given with largest, which has no chart.")
    if arguments.mesh is not None or arguments.layout is not None:
        raise ValueError("plan: mesh and layout must not be given with largest. Give devices.")
    tokens = {
        "batch": _PAPER_BATCH if arguments.batch is None else arguments.batch,
        "length": _PAPER_LENGTH if arguments.length is None else arguments.length,
    }
    models = [partial(workload, name, **tokens, dtype=arguments.dtype) for name in OPT_MODELS]
    cards = f"{arguments.devices} × {arguments.device}"
    lines: list[str] = []
    rows: list[dict[str, Any]] = []
    for optimizer in _COMPARED:
        found = largest(models, optimizer, arguments.device, devices=arguments.devices, tell=_tell)
        rows.append({**found.to_dict(), "dtype": arguments.dtype})
        lines.append(f"  {optimizer:<10}{found.model or 'none':<12}{_margin(found.plan)}")
    print("\n".join([f"largest OPT on {cards}, {arguments.dtype}", *lines]))
    _write_json(arguments.json, rows)


def _margin(plan: Any) -> str:
    if plan is None:
        return ""
    total, memory = plan.total_bytes / 1e9, plan.device.memory / 1e9
    return f"{total:.1f} of {memory:.1f} GB on each device"


def _tell(text: str) -> None:
    print(f"{text} ...", file=sys.stderr, flush=True)


def _check_new(option: str, path: Path | None, overwrite: bool) -> None:
    if path is None:
        return
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ValueError(f"plan: {option} must be a file in a folder that exists, got {path}.")
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"plan: there is a file {path}. Choose another for --{option}, or --overwrite it."
        )


def _write_json(path: Path | None, content: Any) -> None:
    if path is not None:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        print(f"json: {path}")
