"""A study: models x tasks x adapters x methods, each with its grid, one budget, some seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Baseline = Literal["zero-shot", "in-context", "linear-probe"]
Options = Mapping[str, Any]  # of finetune, by name: any of them, whatever group it is in


@dataclass(frozen=True)
class Part:
    """Options, and those that a grid is made of."""

    options: Options = field(default_factory=dict[str, Any])
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict[str, tuple[Any, ...]])

    def over(self, other: Part) -> Part:
        """Both, this one's values where they meet."""
        grid = {k: v for k, v in other.grid.items() if k not in self.options}
        return Part({**other.options, **self.options}, {**grid, **self.grid})


@dataclass(frozen=True)
class Method:
    """One line of the table: an optimizer with its grid, or a baseline.

    Attributes:
      part: Its options, ``optimizer`` among them, and its grid.
      baseline: In place of an optimizer.
      models: Those of the study it runs with.
      adapters: Those of the study it runs with; baselines run without.
      with_adapter: What differs with an adapter.
    """

    part: Part
    baseline: Baseline | None
    models: tuple[str, ...]
    adapters: tuple[str, ...]
    with_adapter: Mapping[str, Part]


@dataclass(frozen=True)
class Study:
    """All of a study; :func:`~zojax.lm.comparison.load_study` says what file it comes from."""

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
        """Every combination that is to be measured, model by model and task by task."""
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
        """What tells it from the others."""
        return {
            "model": self.model,
            "task": self.task,
            "method": self.method,
            "adapter": self.adapter,
        }

    @property
    def baseline(self) -> Baseline | None:
        """The baseline that it is, if it is one."""
        return self.study.methods[self.method].baseline

    def candidates(self) -> list[dict[str, Any]]:
        """The options of each point of its grid."""
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
