"""The file of a head or a bias of classes that is kept beside a model, to the bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from zojax.lm.models import class_labels

FILE = "classes.safetensors"


ScorePlace = Literal["none", "inside", "beside"]


class Score(NamedTuple):
    """A head or a bias of classes."""

    own: dict[str, np.ndarray]  # "kernel": float32 [H, C], or "bias": float32 [C]
    labels: tuple[str, ...]  # the names of the C classes


def place_of_score(folder: Path) -> ScorePlace:
    """Where a saved model or adapter has a head or a bias of the classes."""
    if (folder / FILE).is_file():
        return "beside"
    config = folder / "config.json"
    values = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    return "inside" if class_labels(values) else "none"


def write_score(score: Score, file: Path) -> None:
    """Write a head or a bias, with the names of its classes."""
    from safetensors.numpy import save_file

    own = {name: np.ascontiguousarray(leaf) for name, leaf in score.own.items()}
    save_file(own, file, metadata={"labels": json.dumps(score.labels)})


def read_score(file: Path) -> Score:
    """Read what :func:`write_score` wrote.

    Raises:
      ValueError: The file is damaged, or something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as archive:
            labels = tuple(json.loads(archive.metadata()["labels"]))
            names = list(archive.keys())
            own = {name: archive.get_tensor(name) for name in names}
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"finetune: {file} must be the classes' head or bias of a run, got something else "
            f"({error}): it is truncated or damaged. Copy it again."
        ) from error
    return Score(own, labels)
