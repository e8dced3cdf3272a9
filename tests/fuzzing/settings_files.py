"""Settings and records: a run's configuration, tasks, studies, finished runs, adapters."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import tempfile
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

import zojax.lm.models
from fuzzing.judge import Target
from fuzzing.mutations import as_json, as_json_lines, as_toml
from zojax.lm.adapters import LoRA, load_adapter, save_adapter
from zojax.lm.comparison import Records, load_study
from zojax.lm.tasks import Hub, Sizes, Task, task_from_toml
from zojax.lm.training import (
    AdapterConfig,
    DataConfig,
    FinetuneConfig,
    HyperParameters,
    configure,
    load_config,
)
from zojax.lm.training._run_folder import RunFolder

_TASK = {
    "name": "headlines",
    "kind": "classification",
    "template": "{text} is about {label}",
    "label_words": ["sport", "art"],
    "masked_template": "{label}: {text}",
    "masked_label_words": ["Sport", "Art"],
    "label_column": "topic",
    "label_names": ["S", "A"],
    "drop_label": -1,
    "truncate": "text",
    "max_new_tokens": 9,
    "columns": {"text": "headline"},
    "sizes": {"train": 10, "dev": 5},
    "files": {"train": "train.csv", "test": "/data/test.csv"},
    "hub": {"name": "someone/headlines", "test": "test"},
}
_STUDY: dict[str, Any] = {
    "title": "two methods",
    "models": ["opt-mini", "other"],
    "forward_passes": 100,
    "seeds": [3, 4],
    "tuning_seed": 9,
    "evaluations": 2,
    "report": "last",
    "options": {"batch_size": 8, "eps": 1e-3},
    "tasks": {"rotten-tomatoes": {}, "bare": {"task": "rotten-tomatoes", "bare": True}},
    "adapters": {"full": {}, "lora": {"adapter": "lora"}},
    "methods": {
        "zero-shot": {"baseline": "zero-shot"},
        "mezo": {
            "optimizer": "mezo",
            "grid": {"learning_rate": [1e-5, 1e-4], "num_queries": [1, 2]},
            "with": {"lora": {"eps": 1e-2, "grid": {"learning_rate": [1e-3]}}},
        },
        "adam": {"optimizer": "adam", "models": ["other"], "adapters": ["lora"]},
    },
}


def run_configuration() -> Target:
    config = FinetuneConfig(
        model="m",
        output=Path("/runs/1"),
        data=DataConfig(train=Path("/a.csv"), test=Path("/b.csv"), label_words=("no", "so so")),
        tuned=AdapterConfig("lora", rank=4, alpha=2.0, targets=("q_proj", "fc1")),
        hyper=HyperParameters(phases=(0.1, 0.5), eps=1e-3, num_queries=2, signed_momentum=False),
    )
    with tempfile.TemporaryDirectory() as folder:
        RunFolder(Path(folder), config)
        content = (Path(folder) / "config.json").read_bytes()

    def expect(files: Mapping[str, bytes]) -> FinetuneConfig:
        settings = json.loads(files["config.json"].decode())
        del settings["versions"]
        assert settings.pop("format") == 3
        parts = {
            field.name: kind(**_converted(kind, settings.pop(field.name)))
            for field in dataclasses.fields(config)
            if dataclasses.is_dataclass(kind := type(getattr(config, field.name)))
        }
        return FinetuneConfig(**parts, **_converted(FinetuneConfig, settings))

    return Target(
        {"config.json": content},
        load_config,
        expect,
        {"config.json": (json.loads(content), as_json)},
    )


def _converted(kind: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {name: _convert(hints[name], value) for name, value in settings.items()}


def _convert(hint: Any, value: Any) -> Any:
    """A value of JSON as the annotation has it; TypeError where it is none."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        if isinstance(value, str) and value in inner:
            return value
    elif origin is tuple:
        hints = [inner[0]] * len(value) if inner[1:] == (...,) else inner
        if isinstance(value, list) and len(hints) == len(value):
            return tuple(map(_convert, hints, value))
    elif inner:  # a union
        if value is None and type(None) in inner:
            return None
        for each in inner:
            with contextlib.suppress(TypeError):
                return _convert(each, value)
    elif hint is float and type(value) is int:
        return float(value)
    elif hint is Path and isinstance(value, str):
        return Path(value)
    elif type(value) is hint:
        return value
    raise TypeError


def task_file() -> Target:
    def expect(files: Mapping[str, bytes]) -> dict[str, Any]:
        entries = tomllib.loads(files["task.toml"].decode())
        values = {field.name: getattr(Task(**_PLAIN), field.name) for field in _FIELDS}
        values |= {
            "name": entries["name"],
            "kind": entries["kind"],
            "template": entries["template"],
        }
        for name, value in entries.items():
            values[name] = tuple(value) if isinstance(value, list) else value
        values["sizes"] = Sizes(**entries.get("sizes", {}))
        values["hub"] = Hub(**entries["hub"]) if "hub" in entries else None
        values["truncate"] = entries.get("truncate", "text") or None
        values["files"] = sorted(entries.get("files", {}))
        if set(values) != {field.name for field in _FIELDS}:
            raise KeyError
        prompt = values["template"].replace("{{", "").replace("}}", "")
        if prompt.count("{label}") != 1 or not prompt.endswith("{label}"):
            raise ValueError
        return dict(sorted(values.items()))

    def read(folder: Path) -> dict[str, Any]:
        task = task_from_toml(folder / "task.toml")
        values = {field.name: getattr(task, field.name) for field in _FIELDS}
        values["files"] = sorted(task.files)
        return dict(sorted(values.items()))

    return Target({"task.toml": as_toml(_TASK)}, read, expect, {"task.toml": (_TASK, as_toml)})


_FIELDS = dataclasses.fields(Task)
_PLAIN: Any = dict(name="t", kind="generation", template="{text} {label}")


def study_file() -> Target:
    def expect(files: Mapping[str, bytes]) -> Any:
        study = tomllib.loads(files["study.toml"].decode())
        adapters = study.get("adapters", {"full": {}})
        cells: list[Any] = []
        for model, task in itertools.product(study["models"], study["tasks"]):
            shared = study["tasks"][task]
            if "task" not in shared and "train" not in shared:
                shared = {"task": task, **shared}
            shared = {**study.get("options", {}), **shared}
            for name, method in study["methods"].items():
                if model not in method.get("models", study["models"]):
                    continue
                every = list(adapters)[:1] if "baseline" in method else list(adapters)
                for adapter in method.get("adapters", every):
                    points = _points(shared | adapters[adapter], method, adapter, model)
                    cells.append((model, task, name, adapter, points))
        head = [study["title"], study["forward_passes"], tuple(study.get("seeds", range(5)))]
        defaults = {"tuning_seed": 1000, "evaluations": 5, "report": "best"}
        return [*head, *(study.get(key, value) for key, value in defaults.items()), cells]

    def read(folder: Path) -> Any:
        path = folder / "study.toml"
        study = load_study(path)
        cells = [(c.model, c.task, c.method, c.adapter, c.candidates()) for c in study.cells()]
        try:
            for *_, points in cells:
                for point in points:
                    configure(point)
        except ValueError as error:  # names the option; many files may have led to it
            raise ValueError(f"{path}: {error}") from error
        head = [study.title, study.forward_passes, study.seeds]
        points = [(*name, [dict(sorted(p.items())) for p in points]) for *name, points in cells]
        return [*head, study.tuning_seed, study.evaluations, study.report, points]

    return Target({"study.toml": as_toml(_STUDY)}, read, expect, {"study.toml": (_STUDY, as_toml)})


def _points(shared: dict[str, Any], method: dict[str, Any], adapter: str, model: str) -> list[Any]:
    words = ("baseline", "grid", "with", "adapters", "models")
    nearer = method.get("with", {}).get(adapter, {})
    own, near = ({k: v for k, v in m.items() if k not in words} for m in (method, nearer))
    grid = {k: v for k, v in method.get("grid", {}).items() if k not in near}
    grid |= nearer.get("grid", {})
    common = {**shared, **own, **near, "model": model}
    chosen = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    return [dict(sorted({**common, **point}.items())) for point in chosen]


def finished_runs() -> Target:
    rows = [
        {
            "key": f"{i:016x}", "model": "opt-mini", "stage": "report", "seed": i,
            "point": {"learning_rate": 1e-4}, "dev": 0.5 + i / 10, "dev_loss": 0.7, "test": 0.6,
            "steps": 10, "curve": [[0, 0.0, 0.5], [20, 1.5, 0.5 + i / 10]],
        }
        for i in range(4)
    ]  # fmt: skip
    rows.append({**rows[0], "key": "f", "failed": "the loss"})

    def read(folder: Path) -> Any:
        records = Records(folder / "runs.jsonl")
        return {record["key"]: record for record in records}, (folder / "runs.jsonl").read_bytes()

    def expect(files: Mapping[str, bytes]) -> Any:
        whole = files["runs.jsonl"][: files["runs.jsonl"].rfind(b"\n") + 1]
        records: dict[str, Any] = {}
        for line in whole.split(b"\n")[:-1]:
            record = json.loads(line.decode())
            if not (type(record["key"]) is str and 0 <= record["dev"] <= 1 >= record["test"] >= 0):
                raise ValueError
            np.asarray(record.get("curve", [[0.0] * 3]), float).reshape(-1, 3)
            records[record["key"]] = record
        return records, whole

    return Target(
        {"runs.jsonl": as_json_lines(rows)},
        read,
        expect,
        {"runs.jsonl": (rows, as_json_lines)},
    )


def adapter_folder() -> Target:
    """Whatever is taken is what was saved, to the bit."""
    base = zojax.lm.models.load("opt-mini")
    adapter = LoRA(rank=2, alpha=3.0)
    model = adapter.adapt(base, 0)
    params = model.params
    with tempfile.TemporaryDirectory() as folder:
        save_adapter(adapter, model, params, folder)
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}

    def bits(found: Any, tree: Any) -> Any:
        return found, [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree["adapter"])]

    @functools.cache
    def saved() -> Any:
        return bits(adapter, params)

    def read(folder: Path) -> Any:
        try:
            found, model = load_adapter(base, folder)
        except ValueError as error:
            # Any file may be the one to blame.
            named = any(name in str(error) for name in files)
            raise ValueError(" ".join(files) if named else "") from error
        return bits(found, model.params)

    content = json.loads(files["adapter.json"])
    return Target(files, read, lambda _: saved(), {"adapter.json": (content, as_json)})
