"""The largest model that a device, or several, can tune."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from zojax.planning._devices import device_named
from zojax.planning._models import OPT_MODELS
from zojax.planning._plan import Plan, plan
from zojax.planning._program import DoesNotFitError, transformation
from zojax.planning._sharding import bytes_on_each
from zojax.planning._step import abstract_state
from zojax.planning._topology import topology
from zojax.planning._workload import workload


@dataclasses.dataclass(frozen=True)
class Largest:
    """The largest model that fits, and the next one, which does not."""

    device: str
    devices: int
    optimizer: str
    dtype: str
    model: str | None  # None: not even the smallest
    plan: Plan | None  # of that model
    next_model: str | None  # None: the largest there is
    next_plan: Plan | None  # None where parameters and state alone exceed the memory

    def to_dict(self) -> dict[str, Any]:
        """All of it, of plain JSON types."""
        return {
            "device": self.device,
            "devices": self.devices,
            "optimizer": self.optimizer,
            "dtype": self.dtype,
            "largest": self.model,
            "plan": self.plan.to_dict() if self.plan else None,
            "next": self.next_model,
            "next_plan": self.next_plan.to_dict() if self.next_plan else None,
        }


def largest(
    optimizer: str = "zo_adamu",
    device: str = "a100-80gb",
    *,
    devices: int = 1,
    batch: int = 1,
    length: int = 400,
    dtype: str = "bfloat16",
    models: Sequence[str] = OPT_MODELS,
    tell: Callable[[str], None] | None = None,
) -> Largest:
    """Find the largest model whose step fits.

    From the largest down: a model whose parameters and state alone exceed the memory is passed
    over without compiling; the first that fits is the answer.

    Args:
      optimizer, device, devices, batch, length, dtype, tell: As for :func:`plan`. The defaults are
        the MeZO paper's: one sequence of MultiRC's average length.
      models: The candidates, from the smallest to the largest.

    Raises:
      ImportError, ValueError: As for :func:`plan`.
    """
    memory = device_named("largest", device).memory
    target = topology(device, devices)
    next_model: str | None = None
    next_plan: Plan | None = None

    def answer(model: str | None, found: Plan | None) -> Largest:
        return Largest(device, devices, optimizer, dtype, model, found, next_model, next_plan)

    for model in reversed(models):
        work = workload(model, batch=batch, length=length, dtype=dtype)
        params, state = abstract_state(target, work, transformation(optimizer))
        found = None
        if bytes_on_each(params) + bytes_on_each(state) <= memory:
            try:
                found = plan(
                    model,
                    optimizer,
                    device,
                    devices=devices,
                    batch=batch,
                    length=length,
                    dtype=dtype,
                    tell=None
                    if tell is None
                    else lambda text, model=model: tell(f"{model}: {text}"),
                )
            except DoesNotFitError:
                found = None
        if found is not None and found.fits:
            return answer(model, found)
        next_model, next_plan = model, found
    return answer(None, None)
