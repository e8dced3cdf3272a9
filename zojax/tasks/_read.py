"""Read labelled texts from CSV or JSONL files, and draw samples of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zojax.tasks.rotten_tomatoes import Example

_COLUMNS = ("text", "label")


def read_examples(path: str | Path, label_names: Sequence[str]) -> tuple[Example, ...]:
    """Read the ``text`` and ``label`` columns of a CSV file (with a header) or a JSONL file.

    Args:
      path: A file that ends in ``.csv`` or ``.jsonl``, in UTF-8.
      label_names: One name a class. A label is a name, or its place in this list: 0, 1, ….

    Returns:
      The examples in file order; other columns are left out, as are blank lines.

    Raises:
      FileNotFoundError: There is no such file.
      ValueError: A wrong suffix, column, text or label; the message names the line.
    """
    path = Path(path)
    readers = {".csv": _csv_rows, ".jsonl": _jsonl_rows}
    if path.suffix not in readers:
        raise ValueError(f"read_examples: the file must end in .csv or .jsonl, got {path}.")
    if not path.is_file():
        raise FileNotFoundError(f"read_examples: there is no file {path}.")
    examples = tuple(
        Example(_text(row, where), _label(row, where, label_names))
        for where, row in readers[path.suffix](path)
    )
    if not examples:
        raise ValueError(f"read_examples: {path} has no rows. Give at least one example.")
    return examples


def per_class(examples: Sequence[Example], count: int, seed: int) -> tuple[Example, ...]:
    """Draw ``count`` examples of each class ("k-shot"), shuffled.

    Args:
      examples: Where to draw from, without replacement.
      count: Examples of each class, at least 1.
      seed: Decides the draw and the order.

    Raises:
      ValueError: A class has fewer than ``count`` examples.
    """
    if count < 1:
        raise ValueError(f"per_class: count must be >= 1, got {count}.")
    rng = np.random.default_rng(seed)
    drawn: list[int] = []
    for label in sorted({example.label for example in examples}):
        members = [i for i, example in enumerate(examples) if example.label == label]
        if len(members) < count:
            raise ValueError(
                f"per_class: class {label} must have >= {count} examples, got {len(members)}. "
                "Ask for fewer examples of each class, or give more."
            )
        drawn.extend(rng.choice(members, count, replace=False).tolist())
    return tuple(examples[i] for i in rng.permutation(drawn))


def hold_out(
    examples: Sequence[Example], count: int, seed: int
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Set ``count`` examples aside at random: ``(the others, those set aside)``.

    Raises:
      ValueError: Nothing would be left of one of the two.
    """
    if not 0 < count < len(examples):
        raise ValueError(f"hold_out: count must be within 1 … {len(examples) - 1}, got {count}.")
    order = np.random.default_rng(seed).permutation(len(examples))
    return tuple(examples[i] for i in order[count:]), tuple(examples[i] for i in order[:count])


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(
                f"read_examples: {path} line 1: the header must name the columns text and label; "
                f"{' and '.join(missing)} missing, got {reader.fieldnames}."
            )
        for row in reader:
            yield f"{path} line {reader.line_num}", row


def _jsonl_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            where = f"{path} line {number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"read_examples: {where}: not JSON ({error}).") from error
            if not isinstance(row, dict) or any(name not in row for name in _COLUMNS):
                raise ValueError(
                    f"read_examples: {where}: a line must be an object with the keys text and "
                    f"label, got {line.strip()[:80]}."
                )
            yield where, row


def _text(row: dict[str, Any], where: str) -> str:
    text = row["text"]
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"read_examples: {where}: text must be a non-empty string, got {text!r}.")
    return text


def _label(row: dict[str, Any], where: str, names: Sequence[str]) -> int:
    label = row["label"]
    name = label.strip() if isinstance(label, str) else label
    if name in names:
        return list(names).index(name)
    # JSON's true and false are no class numbers, though Python counts them as 1 and 0.
    is_number = (isinstance(name, int) and not isinstance(name, bool)) or (
        isinstance(name, str) and name.isdecimal()
    )
    if not is_number or not 0 <= int(name) < len(names):
        raise ValueError(
            f"read_examples: {where}: label must be one of {', '.join(map(repr, names))} or a "
            f"number within 0 … {len(names) - 1}, got {label!r}. Mend the row, or name the classes."
        )
    return int(name)
