"""Event files beside metrics.jsonl."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from zojax.lm.training import FinetuneConfig, Observer, TensorBoard, finetune
from zojax.lm.training._observer import Observers

pytestmark = pytest.mark.usefixtures("standard_promotion")


def events(folder: Path) -> list[Event]:
    """All events of a folder: each is its length, 8 bytes, a checksum, 4, itself, and another."""
    found: list[Event] = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:
            size = int.from_bytes(content[:8], "little")
            found.append(Event.FromString(content[12 : 12 + size]))
            content = content[16 + size :]
    return found


def scalars(folder: Path) -> set[tuple[int, str, float]]:
    return {
        (event.step, value.tag, round(value.simple_value, 5))
        for event in events(folder)
        for value in event.summary.value
    }


def lines(folder: Path) -> set[tuple[int, str, float]]:
    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return {
        (row["step"], name, round(value, 5))
        for row in rows
        for name, value in row.items()
        if name != "step"
    }


def test_event_files_have_what_metrics_have(base: FinetuneConfig, tmp_path: Path):
    config = dataclasses.replace(base, tensorboard=True, output=tmp_path / "run")
    folder = finetune(config).folder
    assert scalars(folder / "tensorboard") == lines(folder)
    # A run that goes on adds a file, and says which step its events begin with.
    finetune(FinetuneConfig(resume=folder, steps=9))
    assert scalars(folder / "tensorboard") == lines(folder)
    assert len([*(folder / "tensorboard").iterdir()]) == 2
    # The run in Python, with the observer: the same events where it is told to write them.
    other = dataclasses.replace(base, steps=9, output=tmp_path / "python")
    finetune(other, TensorBoard(tmp_path / "events"))
    assert scalars(tmp_path / "events") == lines(tmp_path / "python")


def test_several_observers_are_all_called_in_order():
    calls: list[tuple[str, str]] = []

    class Named(Observer):
        def __init__(self, name: str) -> None:
            self.name = name

        def status(self, message: str) -> None:
            calls.append((self.name, message))

    both = Observers(Named("a"), Named("b"))
    both.status("hello")
    both.started(3)
    assert calls == [("a", "hello"), ("b", "hello")]


def test_without_the_package_a_run_says_what_to_install(base, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        ImportError, match=r'tensorboard needs tensorboardX: pip install "zojax\[te'
    ):
        TensorBoard(tmp_path)
