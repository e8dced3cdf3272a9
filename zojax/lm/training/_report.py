"""What a run is going to read: shown before the model loads, and kept in the run's folder."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zojax.lm.tasks import PromptSet
from zojax.lm.training._config import DataConfig
from zojax.lm.training._splits import Splits

_MOST = 10


@dataclass(frozen=True)
class DataReport:
    """The data of a run.

    Attributes:
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
        """The report as text, each line with its subject first."""
        total, tokens = sum(self.rows.values()), self.tokens
        parts = ", ".join(f"{name} {count}" for name, count in self.rows.items())
        lines = [f"data       {parts} rows{self._origin()}"]
        if self.classes:
            counts = Counter[str]()
            for split in self.classes.values():
                counts.update(split)
            shown = ", ".join(f"{name} {count}" for name, count in [*counts.items()][:_MOST])
            more = f" … {len(counts)} classes" if len(counts) > _MOST else ""
            lines.append(
                f"classes    {shown}{more}; the largest is {self.majority:.1%} of the test rows"
            )
            if all(name.removeprefix("-").isdecimal() for name in counts):
                lines.append(
                    "           the names are numbers; words that say what they mean are a better "
                    "start (--label-words)"
                )
        lines.append(
            f"tokens     median {tokens['median']}, 95 % up to {tokens['p95']}, longest "
            f"{tokens['longest']}; {self.cut} of {total} prompts are cut to "
            f"{tokens['max_length']} (--max-length)"
        )
        if self.classes and self.rows_of_an_example > 1:
            lines.append(
                f"cost       {self.rows_of_an_example} rows of tokens for each example, as a label "
                "word has several tokens; words of one token each need 1 (--label-words)"
            )
        if self.repeated:
            lines.append(f"repeated   {self.repeated} test texts are in train, too")
        if self.skipped:
            lines.append(f"skipped    {self.skipped} rows that cannot be read:")
            lines += [f"             {reason}" for reason in self.reasons]
            if self.skipped > len(self.reasons):
                lines.append(f"             and {self.skipped - len(self.reasons)} more")
        return lines

    def _origin(self) -> str:
        """Where the rows are from, and which were taken from the training rows."""
        if not self.files:
            return ""
        counts = ", ".join(f"{count} in {path}" for path, count in self.files.items())
        taken = " and ".join(self.split_off)
        return f"; {counts}" + (f"; {taken} split off from train" if taken else "")


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
        rows={name: len(examples) for name, examples in splits.examples.items()},
        files={str(files[name]): count for name, count in splits.read.items()},
        split_off=tuple(name for name in ("dev", "test") if files and name not in files),
        classes=classes,
        majority=max(of_test) / sum(of_test) if of_test else None,
        tokens={
            "median": int(np.median(lengths)),
            "p95": int(np.percentile(lengths, 95)),
            "longest": int(lengths.max()),
            "max_length": max_length,
        },
        cut=int((lengths > max_length).sum()),
        rows_of_an_example=max(map(len, first.rows)),
        repeated=_repeated(splits),
        skipped=len(splits.wrong),
        reasons=_reasons(splits),
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


def _reasons(splits: Splits) -> tuple[str, ...]:
    return tuple(error.line for error in splits.wrong[:_MOST])
