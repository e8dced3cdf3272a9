"""``zojax finetune --defaults``: the settings that each optimizer takes, with their defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zojax.cli._hints import meant
from zojax.cli._parser import UsageError
from zojax.lm.training import (
    DEFAULTS,
    WITH_ADAPTER,
    WITH_ADAPTER_OPTIMIZERS,
    OptimizerName,
    first_length,
    is_in_unit,
    usual_schedule,
)

_IN_UNIT = "learning rate"


def defaults_of(optimizers: Sequence[str]) -> str:
    """Show the settings of one optimizer, or of all.

    Raises:
      UsageError: An optimizer has another name.
    """
    for name in optimizers:
        if name not in DEFAULTS:
            raise UsageError(
                f"finetune: --defaults takes the names of optimizers, {', '.join(DEFAULTS)}, got "
                f"{name!r}.{meant(name, DEFAULTS)}"
            )
    chosen = {name: _shown(name) for name in DEFAULTS if name in optimizers or not optimizers}
    lines = ["Settings by optimizer, with their defaults:", *_table(chosen)]
    if not optimizers or not {*optimizers}.isdisjoint(WITH_ADAPTER_OPTIMIZERS):
        names = " and ".join(WITH_ADAPTER_OPTIMIZERS)
        lines += ["", f"With an adapter, {names} take instead:", *_table(WITH_ADAPTER)]
    return "\n".join(lines)


def _shown(optimizer: OptimizerName) -> Mapping[str, Any]:
    """An optimizer's defaults; its learning rate in words if it depends on the parameters."""
    settings = DEFAULTS[optimizer]
    if not is_in_unit(optimizer, settings.get("slope_rule")):
        return settings
    schedule = usual_schedule(optimizer)
    length = first_length(optimizer, schedule)
    rate = {_IN_UNIT: f"{length:g}·√(N/d) for d parameters and N queries"}
    others = {name: value for name, value in settings.items() if name != "learning_rate"}
    return rate | others | {"schedule": schedule}


def _table(rows: Mapping[Any, Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    for name, settings in rows.items():
        lines += [f"  {name}"]
        lines += [
            f"    {_flag(setting, value)}"
            for setting, value in settings.items()
            if value is not None
        ]
    return lines


def _flag(setting: str, value: Any) -> str:
    if setting == _IN_UNIT:
        return f"learning rate: {value}"
    name = setting.replace("_", "-")
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    shown = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return f"--{name} {shown}"
