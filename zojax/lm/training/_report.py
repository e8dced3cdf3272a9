"""What a run is going to read: shown before the model loads, and kept in the run's folder."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zojax.lm.settings import DataConfig, DataKind
from zojax.lm.tasks import PromptSet, RowError
from zojax.lm.training._splits import Splits

_MOST = 10


@dataclass(frozen=True)
class DataReport:
    """The data of a run.

    Attributes:
      kind: What the rows are; None for a task that has a name or a file.
      rows: Examples of each split.
      files: Examples that each of the user's files has, by its path; empty without files.
      split_off: The splits that were taken from the training rows.
      classes: Examples of each class, by split and class; empty for a task without classes.
      majority: The share of the largest class in the test split: what a model that always says the
        same would score; None without classes.
      tokens: ``median``, ``p95`` and ``longest`` of the prompts' lengths before they are cut, and
        ``max_length``, all in tokens.
      cut: Prompts that are longer than ``max_length``, and lose the end of a text.
      rows_of_an_example: Rows of tokens that the model reads for an example: 1, or one for each
        candidate where a label word has several tokens.
      repeated: Test examples whose texts are in train, too.
      skipped: Rows of the files that were left out because they could not be read.
      reasons: ``file:line: reason`` of the first ten of them.
    """

    kind: DataKind | None
    rows: dict[str, int]
    files: dict[str, int]
    split_off: tuple[str, ...]
    classes: dict[str, dict[str, int]]
    majority: float | None
    tokens: dict[str, int]
    cut: int
    rows_of_an_example: int
    repeated: int
    skipped: int
    reasons: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The attributes, in the types of JSON."""
        return dataclasses.asdict(self)

    def lines(self) -> list[str]:
        """The report as text: subjects, and beside each what there is to say of it."""
        told = {
            "kind": self._kind(),
            "data": self._data(),
            "classes": self._classes(),
            "tokens": self._tokens(),
            "repeated": [f"{self.repeated} test texts are in train, too"] * bool(self.repeated),
            "skipped": self._skipped(),
        }
        return [
            f"{'' if number else subject:<11}{line}"
            for subject, lines in told.items()
            for number, line in enumerate(lines)
        ]

    def _kind(self) -> list[str]:
        return [] if self.kind is None else [f"{self.kind}: texts with a label"]

    def _data(self) -> list[str]:
        parts = ", ".join(f"{name} {count}" for name, count in self.rows.items())
        counts = ", ".join(f"{count} in {path}" for path, count in self.files.items())
        taken = " and ".join(self.split_off)
        lines = [f"{parts} rows", f"of {counts}", f"{taken} split off from train"]
        return lines[: 1 + bool(counts) + bool(taken)]

    def _classes(self) -> list[str]:
        if self.majority is None:
            return []
        counts = Counter[str]()
        for split in self.classes.values():
            counts.update(split)
        shown = ", ".join(f"{name} {count}" for name, count in [*counts.items()][:_MOST])
        more = f" … {len(counts)} in all" if len(counts) > _MOST else ""
        lines = [shown + more, f"the largest is {self.majority:.1%} of the test rows"]
        if all(name.removeprefix("-").isdecimal() for name in counts):
            lines.append("words that say what a number means start better (--label-words)")
        if self.rows_of_an_example > 1:
            rows = self.rows_of_an_example
            fewer = "1 if each had one token (--label-words) or a head (--start probe)"
            lines.append(f"{rows} rows an example; {fewer}")
        return lines

    def _tokens(self) -> list[str]:
        total, most = sum(self.rows.values()), self.tokens["max_length"]
        return [
            *self._lengths(),
            f"{self.cut} of {total} prompts are cut to {most} (--max-length)",
        ]

    def _lengths(self) -> list[str]:
        median, p95, longest = (self.tokens[name] for name in ("median", "p95", "longest"))
        return [f"median {median}, 95 % up to {p95}, longest {longest}"]

    def _skipped(self) -> list[str]:
        if not self.skipped:
            return []
        more = self.skipped - len(self.reasons)
        lines = [f"{self.skipped} rows that cannot be read:", *self.reasons]
        return [*lines, f"and {more} more"] if more else lines


def report_on(splits: Splits, sets: Mapping[str, PromptSet], max_length: int) -> DataReport:
    """Report on the data of a run.

    Args:
      splits: The examples.
      sets: The same, tokenised, by split.
      max_length: Most tokens of a prompt.
    """
    lengths = np.concatenate([prompts.whole_lengths for prompts in sets.values()])
    files = _files(splits.data)
    classes = _classes(splits) if splits.task.kind == "classification" else {}
    of_test = classes.get("test", {}).values()
    first = next(iter(sets.values()))
    return DataReport(
        kind=splits.data.kind,
        rows={name: len(examples) for name, examples in splits.examples.items()},
        files={str(files[name]): count for name, count in splits.read.items()},
        split_off=tuple(name for name in ("dev", "test") if files and name not in files),
        classes=classes,
        majority=max(of_test) / sum(of_test) if of_test else None,
        tokens=summary_of(lengths, max_length),
        cut=int((lengths > max_length).sum()),
        rows_of_an_example=max(map(len, first.rows)),
        repeated=_repeated(splits),
        skipped=len(splits.wrong),
        reasons=reasons_of(splits.wrong),
    )


def _files(data: DataConfig) -> dict[str, Any]:
    files = {"train": data.train, "dev": data.dev, "test": data.test}
    return {name: path for name, path in files.items() if path is not None}


def _classes(splits: Splits) -> dict[str, dict[str, int]]:
    names: Sequence[str] = splits.task.label_names or splits.task.label_words
    counts = {
        split: Counter(example.label for example in examples)
        for split, examples in splits.examples.items()
    }
    return {
        split: {name.strip(): count[label] for label, name in enumerate(names)}
        for split, count in counts.items()
    }


def _repeated(splits: Splits) -> int:
    inputs = {(*e.fields.items(), e.choices) for e in splits.examples["train"]}
    return sum((*e.fields.items(), e.choices) in inputs for e in splits.examples["test"])


def summary_of(lengths: np.ndarray, max_length: int) -> dict[str, int]:
    """What a report says of the lengths of its rows."""
    return {
        "median": int(np.median(lengths)),
        "p95": int(np.percentile(lengths, 95)),
        "longest": int(lengths.max()),
        "max_length": max_length,
    }


def reasons_of(wrong: Sequence[RowError]) -> tuple[str, ...]:
    """The lines that a report shows of rows that were left out."""
    return tuple(error.line for error in wrong[:_MOST])
