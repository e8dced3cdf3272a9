"""A study: models x tasks x adapters x methods, with a grid for each method, a budget and seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Baseline = Literal["zero-shot", "in-context", "linear-probe"]
Options = Mapping[str, Any]  # options of finetune by name, of any group


@dataclass(frozen=True)
class Part:
    """Fixed options, and options that a grid varies."""

    options: Options = field(default_factory=dict[str, Any])
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict[str, tuple[Any, ...]])

    def over(self, other: Part) -> Part:
        """Combine both; where both have an option, this one's value is used."""
        grid = {k: v for k, v in other.grid.items() if k not in self.options}
        return Part({**other.options, **self.options}, {**grid, **self.grid})


@dataclass(frozen=True)
class Method:
    """One line of the table: an optimizer with its grid, or a baseline.

    Attributes:
      part: Its options, including ``optimizer``, and its grid.
      baseline: The baseline; None for an optimizer.
      models: The study's models that it runs with.
      adapters: The study's adapters that it runs with; baselines run without adapters.
      with_adapter: Options and grids that differ with an adapter.
    """

    part: Part
    baseline: Baseline | None
    models: tuple[str, ...]
    adapters: tuple[str, ...]
    with_adapter: Mapping[str, Part]


@dataclass(frozen=True)
class Study:
    """A study; :func:`~zojax.lm.comparison.load_study` describes its file and attributes."""

    title: str
    models: tuple[str, ...]
    tasks: Mapping[str, Options]
    adapters: Mapping[str, Options]
    methods: Mapping[str, Method]
    forward_passes: int
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    tuning_seed: int = 1000
    evaluations: int = 5
    report: Literal["best", "last"] = "best"
    options: Options = field(default_factory=dict[str, Any])

    def cells(self) -> Iterator[Cell]:
        """Iterate over all combinations to measure, model by model and task by task."""
        for model, task in itertools.product(self.models, self.tasks):
            for name, method in self.methods.items():
                for adapter in method.adapters if model in method.models else ():
                    yield Cell(self, model, task, name, adapter)


@dataclass(frozen=True)
class Cell:
    """One method with one adapter on one task with one model."""

    study: Study = field(compare=False, repr=False)
    model: str
    task: str
    method: str
    adapter: str

    @property
    def name(self) -> dict[str, str]:
        """The cell's coordinates, which identify it."""
        return {
            "model": self.model,
            "task": self.task,
            "method": self.method,
            "adapter": self.adapter,
        }

    @property
    def baseline(self) -> Baseline | None:
        """The baseline of the cell's method; None for an optimizer."""
        return self.study.methods[self.method].baseline

    def candidates(self) -> list[dict[str, Any]]:
        """Return the options of each point of the grid."""
        method = self.study.methods[self.method]
        part = method.with_adapter.get(self.adapter, Part()).over(method.part)
        common: dict[str, Any] = {
            **self.study.options,
            **self.study.tasks[self.task],
            **self.study.adapters[self.adapter],
            **part.options,
            "model": self.model,
        }
        points = itertools.product(*part.grid.values())
        return [{**common, **dict(zip(part.grid, point, strict=True))} for point in points]
