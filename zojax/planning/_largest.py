"""The largest model that a device, or several, can tune."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from zojax.planning._devices import device_named
from zojax.planning._figures import Plan
from zojax.planning._plan import plan
from zojax.planning._program import DoesNotFitError, check_optimizer, transformation
from zojax.planning._sharding import bytes_on_each
from zojax.planning._step import abstract_state
from zojax.planning._topology import topology
from zojax.planning._workload import Workload, made


@dataclasses.dataclass(frozen=True)
class Largest:
    """The largest model that fits, and the next one, which does not."""

    device: str
    devices: int
    optimizer: str
    model: str | None  # its workload's name; None: not even the smallest
    plan: Plan | None  # of that model
    next_model: str | None  # None: the largest there is
    next_plan: Plan | None  # None where parameters and state alone exceed the memory

    def to_dict(self) -> dict[str, Any]:
        """All of it, of plain JSON types."""
        return {
            "device": self.device,
            "devices": self.devices,
            "optimizer": self.optimizer,
            "largest": self.model,
            "plan": self.plan.to_dict() if self.plan else None,
            "next": self.next_model,
            "next_plan": self.next_plan.to_dict() if self.next_plan else None,
        }


def largest(
    models: Sequence[Workload | Callable[[], Workload]],
    optimizer: str = "zo_adamu",
    device: str = "a100-80gb",
    *,
    devices: int = 1,
    tell: Callable[[str], None] | None = None,
) -> Largest:
    """Find the largest model whose step fits.

    From the largest down: a model whose parameters and state alone exceed the memory is passed
    over without compiling; the first that fits is the answer.

    Args:
      models: Workloads, from the smallest to the largest, or functions that make them: the smaller
        ones are never called. ``[partial(zojax.lm.models.workload, name, batch=1, length=400) for
        name in zojax.lm.models.OPT_MODELS]`` are all of OPT.
      optimizer, device, devices, tell: As for :func:`plan`.

    Raises:
      ImportError, TypeError, ValueError: As for :func:`plan`.
    """
    memory = device_named("largest", device).memory
    check_optimizer("largest", optimizer)
    target = topology(device, devices)
    next_model: str | None = None
    next_plan: Plan | None = None

    def answer(model: str | None, found: Plan | None) -> Largest:
        return Largest(device, devices, optimizer, model, found, next_model, next_plan)

    for candidate in reversed(models):
        work = made("largest", candidate)
        params, state = abstract_state(target, work, transformation(optimizer))
        found = None
        if bytes_on_each(params) + bytes_on_each(state) <= memory:
            try:
                found = plan(work, optimizer, device, devices=devices, tell=_naming(work, tell))
            except DoesNotFitError:
                found = None
        if found is not None and found.fits:
            return answer(work.name, found)
        next_model, next_plan = work.name, found
    return answer(None, None)


def _naming(work: Workload, tell: Callable[[str], None] | None) -> Callable[[str], None] | None:
    """What tells of which model a line is."""
    return None if tell is None else lambda text: tell(f"{work.name}: {text}")
