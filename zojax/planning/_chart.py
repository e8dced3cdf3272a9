"""A plan as an image: memory compared with the device's, and the roofline times."""

from __future__ import annotations

from pathlib import Path

from zojax.planning._figures import Plan
from zojax.planning._report import cards, title, verdict

_GB = 1e9


def chart(plan: Plan, path: str | Path) -> None:
    """Draw the memory and the roofline times.

    Args:
      plan: A plan from :func:`zojax.planning.plan`.
      path: An image file, which is replaced if it exists; its suffix selects the format.

    Raises:
      ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('chart: matplotlib is missing: pip install "zojax[demo]".') from error
    figure = Figure(figsize=(7, 4), layout="constrained")
    memory, times = figure.subplots(2, 1, height_ratios=[2, 2])
    temporary = plan.forward.memory.device - plan.parameter_bytes
    bars = {
        "parameters": (plan.parameter_bytes, plan.parameter_bytes),
        "optimizer state": (0, plan.state_bytes),
        "temporaries": (temporary, plan.temporary_bytes),
    }
    programs = ["forward pass", "step"]
    left = [0.0, 0.0]
    for name, sizes in bars.items():
        widths = [size / _GB for size in sizes]
        memory.barh(programs, widths, left=left, label=name)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    memory.axvline(plan.device.memory / _GB, color="black", linestyle="--", label="device")
    memory.set_xlabel("memory of one device, GB")
    memory.invert_yaxis()
    times.barh(programs, [plan.forward.seconds * 1e3, plan.step.seconds * 1e3], color="tab:gray")
    times.set_xlabel("roofline time (a lower bound), ms")
    times.invert_yaxis()
    figure.suptitle(f"{title(plan)}, {cards(plan)}: {verdict(plan)}", fontsize="medium")
    figure.legend(loc="outside lower center", ncols=4, fontsize="small")
    figure.savefig(path, dpi=150)
