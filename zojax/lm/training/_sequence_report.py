"""What a run on chats, instructions or plain text is going to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zojax.lm.sequences import Read, SequenceSet, SequenceTokens
from zojax.lm.training._report import DataReport, reasons_of, summary_of

_MEANS = {
    "instruction": "the loss is on the completions, each with the end of sequence",
    "chat": "the loss is on the assistant's turns, each with its end of turn",
    "text": "the loss is on every token",
}


@dataclass(frozen=True)
class SequenceReport(DataReport):
    """The data of a run on rows without classes.

    Attributes:
      learnt: Tokens that the loss is on, of all splits.
      read: Tokens that the model reads, of all splits, without padding.
      pieces: Rows that the model reads: a plain text is one for each of its pieces.
      left_out: Rows of which no answer is within ``max_length``.
      unspaced: Prompts and completions without white space between them; they are joined as they
        are.
    """

    learnt: int = 0
    read: int = 0
    pieces: int = 0
    left_out: int = 0
    unspaced: int = 0

    def _kind(self) -> list[str]:
        return [f"{self.kind}: {_MEANS[self.kind or '']}"]

    def _tokens(self) -> list[str]:
        most, total = self.tokens["max_length"], sum(self.rows.values())
        cut = f"{self.cut} of {total} rows are cut to {most} (--max-length)"
        if self.kind == "text":
            cut = f"read in {self.pieces} pieces of at most {most} (--max-length)"
        lines = [
            *self._lengths(),
            cut,
            f"{self.learnt} of {self.read} tokens are learnt",
            f"{self.left_out} rows are left out: no answer within {most} tokens",
            f"{self.unspaced} prompts and completions have no space between them",
        ]
        return lines[:3] + lines[3:4] * bool(self.left_out) + lines[4:] * bool(self.unspaced)


def report_on_sequences(
    tokens: SequenceTokens,
    files: Mapping[str, Path],
    read: Read,
    sets: Mapping[str, SequenceSet],
) -> SequenceReport:
    """Report on the rows of a run.

    Args:
      tokens: How they become tokens.
      files: The user's files by split.
      read: What was read from them.
      sets: The rows in tokens, by split.
    """
    lengths = np.array([len(text.ids) for part in sets.values() for text in part.whole])
    rows = [row for part in sets.values() for row in part.rows]
    trained = {text.ids.tobytes() for text in sets["train"].whole}
    return SequenceReport(
        kind=tokens.kind,
        rows={name: len(part.whole) for name, part in sets.items()},
        files={str(path): len(read.rows[name]) for name, path in files.items()},
        split_off=tuple(name for name in ("dev", "test") if name not in files),
        classes={},
        majority=None,
        tokens=summary_of(lengths, tokens.max_length),
        cut=sum(part.cut for part in sets.values()),
        rows_of_an_example=1,
        repeated=sum(text.ids.tobytes() in trained for text in sets["test"].whole),
        skipped=len(read.wrong),
        reasons=reasons_of(read.wrong),
        learnt=sum(row.num_learnt for row in rows),
        read=sum(len(row.ids) for row in rows),
        pieces=len(rows),
        left_out=sum(part.left_out for part in sets.values()),
        unspaced=_unspaced(read) if tokens.kind == "instruction" else 0,
    )


def _unspaced(read: Read) -> int:
    pairs = [(row[0].text, row[1].text) for rows in read.rows.values() for row in rows]
    return sum(not prompt[-1].isspace() and not text[0].isspace() for prompt, text in pairs)
