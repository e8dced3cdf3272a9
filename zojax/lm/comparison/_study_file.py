"""Reads the file of a study."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from zojax.lm.comparison._study import Baseline, Method, Part, Study

_KEYS = {
    "title",
    "models",
    "forward_passes",
    "seeds",
    "tuning_seed",
    "evaluations",
    "report",
    "options",
    "tasks",
    "adapters",
    "methods",
}
_METHOD_KEYS = {"baseline", "grid", "with", "adapters", "models"}


def load_study(path: str | Path) -> Study:
    """Read a study from a TOML file.

    The file has these entries::

        title = "..."
        models = ["opt-mini"]
        forward_passes = 1000            # of each run, as zojax.passes counts them
        seeds = [0, 1, 2, 3, 4]          # the runs that are reported
        tuning_seed = 1000               # the runs that choose from a grid
        evaluations = 5                  # on dev, evenly spaced over a run
        report = "best"                  # the step with the best dev score, or "last"

        [options]                        # of zojax finetune, for all runs
        dev_size = 500

        [tasks.rotten-tomatoes]          # options of the task, such as files of your own
        [tasks.bare]
        task = "rotten-tomatoes"         # the task, if the table has another name
        bare = true

        [adapters.full]                  # without any [adapters.*], full tuning alone
        [adapters.lora]
        adapter = "lora"

        [methods.zero-shot]
        baseline = "zero-shot"           # or in-context, linear-probe
        models = ["opt-mini"]            # without it, all models
        [methods.MeZO]
        optimizer = "mezo"
        adapters = ["full", "lora"]      # without it, all adapters
        grid.learning_rate = [1e-5, 3e-5, 1e-4]
        [methods.MeZO.with.lora]         # options and grids that differ with an adapter
        eps = 1e-2
        grid.learning_rate = [1e-4, 1e-3]

    Returns:
      The study. Its options are not checked here: :func:`zojax.lm.comparison.check` does.

    Raises:
      FileNotFoundError: The file does not exist.
      ValueError: The file is not TOML, or an entry is missing, unknown or of the wrong type.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"load_study: there is no file {path}.")
    try:
        entries = tomllib.loads(path.read_bytes().decode())
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or nested too deep
        raise ValueError(f"load_study: {path} is not TOML ({error}).") from error
    try:
        return _study(entries)
    except ValueError as error:
        raise ValueError(f"load_study: {path}: {error}") from error


def _study(entries: dict[str, Any]) -> Study:
    _known("the study", entries, _KEYS)
    for key in ("title", "models", "forward_passes", "tasks", "methods"):
        if key not in entries:
            raise ValueError(f"the study must have {key}.")
    tasks = {
        name: _task(name, _table(f"tasks.{name}", options))
        for name, options in _table("tasks", entries["tasks"]).items()
    }
    adapters = {
        name: _table(f"adapters.{name}", options)
        for name, options in _table("adapters", entries.get("adapters", {"full": {}})).items()
    }
    models = _list(str, "models", entries["models"])
    methods = {
        name: _method(f"methods.{name}", _table(f"methods.{name}", method), models, tuple(adapters))
        for name, method in _table("methods", entries["methods"]).items()
    }
    for name, value in (("tasks", tasks), ("adapters", adapters), ("methods", methods)):
        if not value:
            raise ValueError(f"{name} must not be empty.")
    return Study(
        title=_of(str, "title", entries["title"]),
        models=models,
        tasks=tasks,
        adapters=adapters,
        methods=methods,
        forward_passes=_count("forward_passes", entries["forward_passes"]),
        seeds=_list(int, "seeds", entries.get("seeds", [0, 1, 2, 3, 4])),
        tuning_seed=_of(int, "tuning_seed", entries.get("tuning_seed", 1000)),
        evaluations=_count("evaluations", entries.get("evaluations", 5)),
        report=_one_of("report", entries.get("report", "best"), ("best", "last")),
        options=_table("options", entries.get("options", {})),
    )


def _task(name: str, options: dict[str, Any]) -> dict[str, Any]:
    return options if options.keys() & {"task", "train"} else {"task": name, **options}


def _method(
    where: str, entries: dict[str, Any], models: tuple[str, ...], adapters: tuple[str, ...]
) -> Method:
    baseline = entries.get("baseline")
    if (baseline is None) == ("optimizer" not in entries):
        raise ValueError(f"{where} must have either an optimizer or a baseline.")
    if baseline is not None:
        _one_of(f"{where}.baseline", baseline, get_args(Baseline))
        if entries.keys() & {"grid", "with"}:
            raise ValueError(f"{where} is a baseline: it takes neither grid nor with.")
    own_models = _list(str, f"{where}.models", entries.get("models", list(models)))
    every = list(adapters if baseline is None else adapters[:1])
    own_adapters = _list(str, f"{where}.adapters", entries.get("adapters", every))
    differing = _table(f"{where}.with", entries.get("with", {}))
    for what, own, known in (
        ("models", own_models, models),
        ("adapters", (*own_adapters, *differing), adapters),
    ):
        unknown = [name for name in own if name not in known]
        if unknown:
            raise ValueError(
                f"{where} may have the {what} {', '.join(known)}, got {', '.join(unknown)}."
            )
    return Method(
        part=_part(where, entries),
        baseline=baseline,
        models=own_models,
        adapters=own_adapters,
        with_adapter={
            name: _part(f"{where}.with.{name}", part) for name, part in differing.items()
        },
    )


def _part(where: str, entries: Any) -> Part:
    entries = _table(where, entries)
    grid = _table(f"{where}.grid", entries.get("grid", {}))
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"{where}.grid.{name} must be a list of values, got {values!r}.")
        if name in entries:
            raise ValueError(f"{where} has {name} both as an option and in its grid.")
    options = {name: value for name, value in entries.items() if name not in _METHOD_KEYS}
    return Part(options, {name: tuple(values) for name, values in grid.items()})


def _known(where: str, entries: Mapping[str, Any], keys: set[str]) -> None:
    unknown = sorted(entries.keys() - keys)
    if unknown:
        raise ValueError(f"{where} may have {', '.join(sorted(keys))}, got {', '.join(unknown)}.")


def _table(where: str, value: Any) -> dict[str, Any]:
    return _of(dict, where, value)


def _of(kind: type, where: str, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{where} must be a {kind.__name__}, got {value!r}.")
    return value


def _list(kind: type, where: str, value: Any) -> tuple[Any, ...]:
    values = tuple(_of(kind, f"each of {where}", each) for each in _of(list, where, value))
    if not values or len(set(values)) < len(values):
        raise ValueError(f"{where} must have entries, each once, got {list(values)}.")
    return values


def _count(where: str, value: Any) -> int:
    if _of(int, where, value) < 1:
        raise ValueError(f"{where} must be >= 1, got {value}.")
    return value


def _one_of(where: str, value: Any, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise ValueError(f"{where} must be one of {', '.join(allowed)}, got {value!r}.")
    return value
