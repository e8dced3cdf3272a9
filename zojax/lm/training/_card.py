"""The model card of a tuned model: README.md, with what made it and how to load it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from zojax.lm.settings import FinetuneConfig
from zojax.lm.training._score_file import FILE, ScorePlace
from zojax.lm.training._tuned import make_adapter

CARD = "README.md"
_FIRST_ORDER = ("adam", "sgd")
_NAMES = {
    "lora": "LoRA adapter",
    "prefix": "prefix",
    "virtual_tokens": "set of virtual tokens",
    "head": "tuned head",
}


def model_card(
    config: FinetuneConfig,
    *,
    kind: Literal["causal", "masked"],
    step: int,
    dev: Mapping[str, float],
    test: Mapping[str, float] | None,
    versions: Mapping[str, str],
    place: ScorePlace = "none",
    merged: bool = False,
) -> str:
    """Return the text of a model card, with the metadata that the Hugging Face hub reads.

    Args:
      config: The run's configuration, resolved.
      kind: The kind of the model.
      step: The step after which the run had these parameters.
      dev, test: Scores by name; ``test`` is None if they were not measured.
      versions: Versions of packages, by name.
      place: Where a head or a bias of the classes is.
      merged: Whether an adapter has been merged into the model.
    """
    adapter = "none" if merged else config.tuned.adapter
    tuned = "model" if adapter == "none" else _NAMES[adapter]
    how = "by backpropagation" if config.optimizer in _FIRST_ORDER else "by forward passes alone"
    return "\n".join(
        [
            *_metadata(config, kind, adapter, place),
            "",
            f"# {Path(config.model).name} tuned on {_task(config)}",
            "",
            f"A {tuned} tuned {how}, with zojax {versions['zojax']}.",
            "",
            *_table(["", ""], _facts(config, step, merged, versions)),
            "",
            "## Scores",
            "",
            *_scores(dev, test),
            "",
            "## Loading it",
            "",
            *_loading(config.model, kind, adapter, place),
            "",
        ]
    )


def _metadata(config: FinetuneConfig, kind: str, adapter: str, place: ScorePlace) -> list[str]:
    """The YAML at the top; a JSON value is one of YAML."""
    library = {"none": "transformers", "lora": "peft"}.get(adapter, "zojax")
    pipeline = "text-generation" if kind == "causal" else "fill-mask"
    if place == "inside":
        pipeline = "text-classification"
        library = "zojax" if kind == "masked" else library
    tags = ["zojax"] if config.optimizer in _FIRST_ORDER else ["zojax", "zeroth-order"]
    return [
        "---",
        f"base_model: {json.dumps(config.model)}",
        f"base_model_relation: {'finetune' if adapter == 'none' else 'adapter'}",
        f"library_name: {library}",
        f"pipeline_tag: {pipeline}",
        f"tags: {json.dumps([*tags, adapter] if adapter != 'none' else tags)}",
        "---",
    ]


def _task(config: FinetuneConfig) -> str:
    data = config.data
    if data.train is not None and data.task is None:
        return data.train.name
    return Path(data.task or "rotten-tomatoes").name


def _facts(
    config: FinetuneConfig, step: int, merged: bool, versions: Mapping[str, str]
) -> list[list[str]]:
    data = {name: value for name, value in _settings(config.data).items() if name != "task"}
    files = {name: path.name for name, path in data.items() if isinstance(path, Path)}
    kind, adapter = config.tuned.adapter, make_adapter(config.tuned)
    rows = {
        "base model": f"`{config.model}`",
        "method": f"`{config.optimizer}`: {_listed(_settings(config.hyper))}",
        "objective": _objective(config),
        "steps": f"{step} of {config.num_steps}, each of {config.batch_size} examples",
        "seed": str(config.seed),
        "data": f"{_task(config)}: {_listed(data | files)}",
        "adapter": f"{kind}{', merged into the weights' if merged else ''}: "
        f"{_listed(_settings(adapter or config.tuned))}",
        "dtype": config.dtype,
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    if kind == "none":
        del rows["adapter"]
    return [[name, value.removesuffix(": ")] for name, value in rows.items()]


def _objective(config: FinetuneConfig) -> str:
    reward = config.scoring.reward
    if reward is None:
        return config.objective
    place, colon, name = reward.rpartition(":")
    return _cell(f"the reward {Path(place).name}{colon}{name}" if ".py:" in reward else reward)


def _settings(group: Any) -> dict[str, Any]:
    """The settings of a group that have a value."""
    values = dataclasses.asdict(group)
    return {name: value for name, value in values.items() if value is not None}


def _listed(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {_cell(value)}" for name, value in settings.items())


def _cell(value: object) -> str:
    if isinstance(value, tuple):
        return " / ".join(map(str, value))
    # A vertical bar or a line break would end the table's cell.
    return str(value).replace("|", "\\|").replace("\n", " ")


def _scores(dev: Mapping[str, float], test: Mapping[str, float] | None) -> list[str]:
    names = list(test or dev)
    rows = [
        [split, *(f"{scores[name]:.6g}" if name in scores else "" for name in names)]
        for split, scores in (("dev", dev), ("test", test or {}))
        if scores
    ]
    return _table(["", *names], rows) if rows else ["They were not measured."]


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    rule = ["---"] * len(header)
    return [f"| {' | '.join(row)} |" for row in (header, rule, *rows)]


def _loading(base: str, kind: str, adapter: str, place: ScorePlace) -> list[str]:
    auto = "AutoModelForCausalLM" if kind == "causal" else "AutoModelForMaskedLM"
    lines = ["`folder` is the folder of this file, or its name on the hub. With zojax:", ""]
    if place == "beside":
        note = f"`{FILE}` has what the scores of the classes need besides, for zojax alone: go on "
        lines = [f"{note}with `zojax finetune --start folder`.", "", *lines]
    if adapter == "none" and place == "inside":
        lines += _python("import zojax.lm.models", "", "model = zojax.lm.models.load(folder)")
        if kind == "masked":
            return [*lines, "", "transformers has no class with this head of the classes."]
        auto = "AutoModelForSequenceClassification"
        lines += ["", "With transformers, which scores the last token that is not padding:", ""]
    elif adapter == "none":
        lines += _python("import zojax.lm.models", "", "model = zojax.lm.models.load(folder)")
        lines += ["", "With transformers:", ""]
    if adapter == "none":
        return lines + _python(
            f"from transformers import {auto}, AutoTokenizer",
            "",
            f"model = {auto}.from_pretrained(folder)",
            "tokenizer = AutoTokenizer.from_pretrained(folder)",
        )
    lines += _python(
        "import zojax.lm.models",
        "from zojax.lm.adapters import load_adapter",
        "",
        f"base = zojax.lm.models.load({json.dumps(base)})",
        "adapter, model = load_adapter(base, folder)",
    )
    if adapter == "lora":
        lines += ["", "With peft, where `base` is the folder or the name of the base model:", ""]
        lines += _python(
            "from peft import PeftModel",
            f"from transformers import {auto}",
            "",
            f"model = PeftModel.from_pretrained({auto}.from_pretrained(base), folder)",
        )
    return lines


def _python(*lines: str) -> list[str]:
    return ["```python", *lines, "```"]
