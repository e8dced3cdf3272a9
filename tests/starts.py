"""What the tests of starts share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zojax.lm.training import AdapterConfig, Observer, Result, Tick

ADAPTERS = {
    "none": AdapterConfig(),
    "lora": AdapterConfig("lora", rank=2),
    "prefix": AdapterConfig("prefix", length=2),
    "virtual_tokens": AdapterConfig("virtual_tokens", length=2),
    "head": AdapterConfig("head"),
}


class Killed(BaseException):
    """What nobody handles."""


class Watcher(Observer):
    """Keeps the table of starts, and ends the run at a step if one is given."""

    def __init__(self, kill_at: int = 0) -> None:
        self.lines: Sequence[str] = ()
        self._kill_at = kill_at

    def start(self, lines: Sequence[str]) -> None:
        self.lines = lines

    def ticked(self, tick: Tick) -> None:
        if tick.step == self._kill_at:
            raise Killed


def results(result: Result) -> dict[str, Any]:
    return json.loads((result.folder / "results.json").read_text())


def weights(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.safetensors")}


def dev_scores(result: Result) -> list[tuple[float, float]]:
    lines = (result.folder / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [(x["dev_accuracy"], -x["dev_loss"]) for x in found if "dev_loss" in x]


def start_of(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(folder / "start.safetensors")
