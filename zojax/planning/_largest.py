"""Finds the largest model that a device, or several, can tune."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from zojax.planning._devices import device_named
from zojax.planning._figures import Plan
from zojax.planning._plan import in_words, plan
from zojax.planning._program import DoesNotFitError, check_optimizer, check_subspace, transformation
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
    model: str | None  # name of the largest workload that fits; None if none does
    plan: Plan | None  # plan of that workload
    next_model: str | None  # name of the next larger workload; None if there is none
    next_plan: Plan | None  # its plan; None if parameters and state alone exceed the memory

    def to_dict(self) -> dict[str, Any]:
        """Convert to types of JSON."""
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
    subspace_rank: int | None = None,
    tell: Callable[[str], None] | None = None,
) -> Largest:
    """Find the largest model whose step fits.

    Models are tried from the largest to the smallest, and the first that fits is the result. A
    model whose parameters and state alone exceed the memory is skipped without compiling it.

    Args:
      models: Workloads from the smallest to the largest, or functions that make them, which are
        only called for models that are tried. For all sizes of OPT:
        ``[partial(zojax.lm.models.workload, name, batch=1, length=400) for name in
        zojax.lm.models.OPT_MODELS]``.
      optimizer, device, devices, subspace_rank, tell: As for :func:`plan`.

    Raises:
      ImportError, TypeError, ValueError: As for :func:`plan`.
    """
    memory = device_named("largest", device).memory
    check_optimizer("largest", optimizer)
    check_subspace("largest", optimizer, subspace_rank)
    target = topology(device, devices)
    next_model: str | None = None
    next_plan: Plan | None = None

    def answer(model: str | None, found: Plan | None) -> Largest:
        name = in_words(optimizer, subspace_rank)
        return Largest(device, devices, name, model, found, next_model, next_plan)

    for candidate in reversed(models):
        work = made("largest", candidate)
        params, state = abstract_state(
            target, work, transformation(work, optimizer, 1, subspace_rank)
        )
        found = None
        if bytes_on_each(params) + bytes_on_each(state) <= memory:
            try:
                found = plan(
                    work,
                    optimizer,
                    device,
                    devices=devices,
                    subspace_rank=subspace_rank,
                    tell=_naming(work, tell),
                )
            except DoesNotFitError:
                found = None
        if found is not None and found.fits:
            return answer(work.name, found)
        next_model, next_plan = work.name, found
    return answer(None, None)


def _naming(work: Workload, tell: Callable[[str], None] | None) -> Callable[[str], None] | None:
    """Prefix the lines of ``tell`` with the model's name."""
    return None if tell is None else lambda text: tell(f"{work.name}: {text}")
