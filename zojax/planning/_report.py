"""A plan as text."""

from __future__ import annotations

from zojax.planning._figures import Plan
from zojax.planning._program import ProgramPlan

UNKNOWN = (
    "Not in these figures: memory of the run-time (a CUDA context takes several hundred MB), "
    "workspace of cuBLAS, fragmentation, and the kernels that autotuning would choose on the "
    "device itself. JAX reserves 75% of a GPU's memory unless XLA_PYTHON_CLIENT_MEM_FRACTION says "
    "otherwise. Roofline times are lower bounds: the largest of the times for all operations at "
    "the peak rate, for all memory traffic and for all traffic between devices at full bandwidth, "
    "as if they overlapped completely."
)


def report(plan: Plan) -> str:
    """Format a plan as text, with a note on what its figures do not include."""
    step = plan.step
    lines = [
        f"{title(plan)}, on {cards(plan)}",
        "",
        f"{_on_each('memory', plan)}",
        *_table(
            ("parameters", gigabytes(plan.parameter_bytes)),
            ("optimizer state", gigabytes(plan.state_bytes)),
            ("temporaries", gigabytes(plan.temporary_bytes)),
            ("total", gigabytes(plan.total_bytes)),
            ("device", gigabytes(plan.device.memory)),
        ),
        f"  {verdict(plan)}",
        "",
        _on_each("programs", plan),
        f"  {'':<18}{'forward pass':>16}{'step':>16}",
    ]
    rows = [
        ("memory", [gigabytes(p.memory.device) for p in (plan.forward, step)]),
        ("operations", [f"{p.flops / 1e12:.4g} T" for p in (plan.forward, step)]),
        ("bytes moved", [gigabytes(p.bytes_accessed) for p in (plan.forward, step)]),
        *([] if plan.devices == 1 else [("between devices", _communication(plan))]),
        ("roofline time", [f"{p.seconds * 1e3:.4g} ms" for p in (plan.forward, step)]),
        ("compile time", [f"{p.compile_seconds:.1f} s" for p in (plan.forward, step)]),
    ]
    lines += [f"  {name:<18}{forward:>16}{of_step:>16}" for name, (forward, of_step) in rows]
    lines += _collectives(plan.forward, step)
    if plan.extrapolated:
        few, more = step.compiled_layers
        lines += [
            "",
            f"The step was compiled with {few} and with {more} layers, and its figures were "
            f"extrapolated linearly to {plan.layers}. --full compiles it at full depth.",
        ]
    return "\n".join([*lines, "", UNKNOWN])


def title(plan: Plan) -> str:
    """Name the model, the step, the dtype and the batch."""
    batch = " and ".join("×".join(map(str, shape)) for shape in plan.batch_shapes)
    return f"{plan.model}, {plan.optimizer}, {plan.dtype}, batch {batch}"


def cards(plan: Plan) -> str:
    """Name the devices, their number and their mesh."""
    if plan.devices == 1:
        return plan.device.name
    axes = ", ".join(f"{name}={size}" for name, size in plan.mesh.items())
    return f"{plan.devices} × {plan.device.name} ({axes})"


def verdict(plan: Plan) -> str:
    """Say whether the step fits, and by how much."""
    if plan.fits:
        return f"fits, {gigabytes(plan.free_bytes)} left"
    return f"does not fit, {gigabytes(-plan.free_bytes)} too much"


def gigabytes(nbytes: float) -> str:
    """Format bytes in GB of 10⁹, or in MB if they are less than 1 GB."""
    return f"{nbytes / 1e9:,.2f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:,.1f} MB"


def _on_each(what: str, plan: Plan) -> str:
    return what if plan.devices == 1 else f"{what}, on each device"


def _table(*rows: tuple[str, str]) -> list[str]:
    return [f"  {name:<18}{value:>16}" for name, value in rows]


def _communication(plan: Plan) -> list[str]:
    programs = (plan.forward, plan.step)
    if plan.device.link is None:
        return [gigabytes(p.sent_bytes) for p in programs]
    return [f"{p.communication_seconds * 1e3:.4g} ms" for p in programs]


def _collectives(forward: ProgramPlan, step: ProgramPlan) -> list[str]:
    lines: list[str] = []
    for kind in sorted({**forward.collectives, **step.collectives}):
        cells: list[str] = []
        for program in (forward, step):
            found = program.collectives.get(kind)
            cells.append(f"{found.runs}, {gigabytes(found.bytes)}" if found else "0")
        lines.append(f"  {kind:<18}{cells[0]:>16}{cells[1]:>16}")
    return lines
