"""Reads rows by the ``datasets`` package: data sets by name, and folders that it has written."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from zojax.lm.tasks._row import Row
from zojax.lm.tasks._task import Hub

# Files of a folder that ``save_to_disk`` writes: one split, or several in folders of their own.
_ONE, _SEVERAL = "state.json", "dataset_dict.json"


def hub_rows(hub: Hub, split: str) -> Iterator[Row]:
    """Yield the rows of a split of a data set that ``datasets`` loads by name.

    Raises:
      ImportError: ``datasets`` is not installed.
    """
    rows: Any = _datasets(
        f"load_splits: reading {hub.name} by name needs datasets: pip install datasets. "
        "Or give files."
    ).load_dataset(hub.name, hub.config, split=split)
    name = f"{hub.name} {hub.config or ''}".strip()
    for number, values in enumerate(rows):
        yield Row(values, f"{name} {split} row {number}")


def folder_rows(path: Path, names: Collection[str] | None) -> Iterator[Row]:
    """Yield the rows of a folder that ``datasets`` wrote with ``save_to_disk``.

    Args:
      path: The folder of one split.
      names: The classes' names, if they are known. ``datasets`` writes the numbers of classes with
        their names beside them; rows get the names, unless all the known ones are others.

    Raises:
      ImportError: ``datasets`` is not installed.
      ValueError: The folder has several splits, or none.
    """
    if (path / _SEVERAL).is_file():
        splits = json.loads((path / _SEVERAL).read_text(encoding="utf-8"))["splits"]
        raise ValueError(
            f"read_examples: {path} must be the folder of one split, got a folder of the splits "
            f"{', '.join(splits)}. Give {path / splits[0]}, say."
        )
    if not (path / _ONE).is_file():
        raise ValueError(
            f"read_examples: a folder must be one that datasets wrote with save_to_disk, got {path}"
            f", which has no {_ONE}. Give a CSV, JSONL or Parquet file."
        )
    table: Any = _datasets(
        f"read_examples: the folder {path} needs datasets: pip install datasets. Or give CSV, "
        "JSONL or Parquet."
    ).load_from_disk(str(path))
    named: dict[str, list[str]] = {
        column: feature.names
        for column, feature in table.features.items()
        if hasattr(feature, "int2str") and (names is None or set(feature.names) & set(names))
    }
    for number, values in enumerate(table.to_list()):
        for column, classes in named.items():
            values[column] = _name(values[column], classes)
        yield Row(values, f"{path} row {number}")


def _name(number: int | None, classes: list[str]) -> str | None:
    """The name of a class; ``datasets`` writes -1 for a row that has none."""
    return None if number is None or number < 0 else classes[number]


def _datasets(message: str) -> Any:
    try:
        import datasets  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise ImportError(message) from error
    return datasets
