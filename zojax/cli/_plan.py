"""The command ``zojax plan``: prints a report, and writes files if they are requested."""

from __future__ import annotations

import json
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zojax.cli._devices import use_cpu
from zojax.cli._parser import UsageError
from zojax.cli._plan_arguments import PlanArguments
from zojax.cli._text import columns, wrapped

if TYPE_CHECKING:
    from zojax.planning import Plan

_SUBSPACE_RANK = 16
_COMPARED: tuple[tuple[str, int | None], ...] = (
    ("adam", None),
    ("mezo", None),
    ("zo_adamu", None),
    ("zo_adamu", _SUBSPACE_RANK),
)
# Over integers, which never move: what is tuned, the optimizer, and the rank of a subspace.
_COMPARED_OVER_INTEGERS: tuple[tuple[str, str, int | None], ...] = (
    ("a LoRA", "adam", None),
    ("a subspace", "zo_adamu", _SUBSPACE_RANK),
    ("scales", "mezo", None),
)
_BATCH, _LENGTH = 16, 256
_PAPER_BATCH, _PAPER_LENGTH = 1, 400  # as in the MeZO paper's table
_RANK = 8
_PAIRS = 16  # of es


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
    from zojax.lm.adapters import LoRA
    from zojax.lm.models import check_heads, model_config, workload
    from zojax.planning import chart, plan, report

    axes = _axes(arguments)
    shards = arguments.devices if axes is None else axes.get("model", 1)
    check_heads("plan", model_config(arguments.model), shards)
    tokens = _tokens(arguments, _BATCH, _LENGTH)
    work = partial(
        workload,
        arguments.model,
        **tokens,
        dtype=arguments.dtype,
        # Its blocks are layers, so each layer needs leaves of its own.
        scan_layers=arguments.optimizer != "zo_sgd_blockwise",
        adapter=None if arguments.adapter == "none" else LoRA(rank=arguments.rank or _RANK),
        quantize=arguments.quantize,
    )
    found = plan(
        work,
        arguments.optimizer,
        arguments.device,
        devices=arguments.devices,
        mesh=axes,
        num_queries=arguments.num_queries or 1,
        subspace_rank=arguments.subspace_rank,
        full=arguments.full,
        tell=_tell,
    )
    run = run_figures(arguments, found)
    lines = [report(found)]
    if run:
        lines += ["", *run_lines(arguments, found, run)]
    if arguments.optimizer != "inference":
        lines += ["", "To run it:", f"    {shlex.join(finetune_command(arguments))}"]
    print(wrapped("\n".join(lines), columns(sys.stdout)))
    _write_json(arguments.json, {**found.to_dict(), **tokens, **run})
    if arguments.chart is not None:
        chart(found, arguments.chart)
        print(f"chart: {arguments.chart}")


def _axes(arguments: PlanArguments) -> dict[str, int] | None:
    from zojax.sharding import read_mesh

    if arguments.mesh is None:
        return None
    try:
        return read_mesh("plan", arguments.mesh, arguments.layout)
    except ValueError as error:
        raise UsageError(str(error)) from error


def finetune_command(arguments: PlanArguments) -> list[str]:
    """The command that runs what was planned."""
    model = Path(arguments.model)
    mesh = arguments.mesh or (f"model={arguments.devices}" if arguments.devices > 1 else None)
    rank = (arguments.rank or _RANK) if arguments.adapter == "lora" else None
    pairs = arguments.num_queries or _PAIRS
    population = 2 * pairs if arguments.optimizer == "es" else None
    options = {
        # finetune reads a model's folder, of which a plan reads config.json alone.
        "model": model.parent if model.is_file() else arguments.model,
        "optimizer": arguments.optimizer,
        "dtype": arguments.dtype,
        "quantize": arguments.quantize,
        "batch-size": arguments.batch_size or _BATCH,
        "max-length": arguments.max_length or _LENGTH,
        "adapter": None if arguments.adapter == "none" else arguments.adapter,
        "rank": rank,
        "num-queries": None if population else arguments.num_queries,
        "population": population,
        "subspace-rank": arguments.subspace_rank,
        "mesh": mesh,
        "layout": arguments.layout,
        "steps": arguments.steps,
    }
    given = {name: str(value) for name, value in options.items() if value is not None}
    return ["zojax", "finetune", *(part for name in given for part in (f"--{name}", given[name]))]


def _tokens(arguments: PlanArguments, batch: int, length: int) -> dict[str, int]:
    """The shape of a batch: rows, and tokens of a row."""
    rows = (arguments.batch_size or batch) * arguments.rows_per_example
    return {"batch": rows, "length": arguments.max_length or length}


def run_figures(arguments: PlanArguments, found: Plan) -> dict[str, float]:
    """The least time of all steps, and their least cost; nothing without a number of steps."""
    if arguments.steps is None:
        return {}
    seconds = arguments.steps * found.step.seconds
    figures = {"steps": arguments.steps, "run_seconds_at_least": seconds}
    if arguments.price is None:
        return figures
    cost = arguments.price * found.devices * seconds / 3600
    return {**figures, "price": arguments.price, "run_cost_at_least": cost}


def run_lines(arguments: PlanArguments, found: Plan, run: dict[str, float]) -> list[str]:
    seconds = run["run_seconds_at_least"]
    clock = f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"
    lines = [f"run of {arguments.steps} steps, lower bounds", f"  {'time':<18}{clock:>16}"]
    if arguments.price is not None:
        each = "" if found.devices == 1 else f" for each of {found.devices} devices"
        cost = f"{run['run_cost_at_least']:,.2f}"
        lines.append(f"  {'cost':<18}{cost:>16}  at {arguments.price:g} an hour{each}")
    return [*lines, "  No device is that fast; compiling and measuring come on top."]


def _largest(arguments: PlanArguments) -> None:
    from zojax.lm.adapters import LoRA
    from zojax.lm.models import OPT_MODELS, workload
    from zojax.planning import largest

    tokens = _tokens(arguments, _PAPER_BATCH, _PAPER_LENGTH)
    bits = arguments.quantize
    cards = f"{arguments.devices} × {arguments.device}"
    lines: list[str] = []
    rows: list[dict[str, Any]] = []
    whole = [("all parameters", *compared) for compared in _COMPARED]
    for tuned, optimizer, rank in _COMPARED_OVER_INTEGERS if bits is not None else whole:
        adapter = LoRA(rank=_RANK) if tuned == "a LoRA" else None
        settings: dict[str, Any] = dict(dtype=arguments.dtype, quantize=bits, adapter=adapter)
        found = largest(
            [partial(workload, name, **tokens, **settings) for name in OPT_MODELS],
            optimizer,
            arguments.device,
            devices=arguments.devices,
            subspace_rank=rank,
            tell=_tell,
        )
        rows.append({**found.to_dict(), "dtype": arguments.dtype, "quantize": bits, "tunes": tuned})
        name = f"{found.optimizer}, {tuned}" if bits and rank is None else found.optimizer
        lines.append(f"  {name:<30}{found.model or 'none':<12}{_margin(found.plan)}")
    kinds = f"{bits} and {arguments.dtype}" if bits else arguments.dtype
    print("\n".join([f"largest OPT on {cards}, {kinds}", *lines]))
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
