"""Predictions as lines of text: tab-separated, or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from zojax.lm.prediction._tuned_run import Prediction
from zojax.lm.settings import OutputFormat

_DECIMALS = 6
_NONE = "-"  # of a row without a prediction


def header(labels: Sequence[str]) -> str:
    """The first line of a table: the label and then each class, or the answer for no ``labels``."""
    return "\t".join(map(_cell, ["label", *labels] if labels else ["answer"]))


def line(
    found: Prediction | str | None, labels: Sequence[str], output: OutputFormat = "tsv"
) -> str:
    """One row: a prediction, or an answer.

    Args:
      found: The prediction or the answer; None for a row that has none.
      labels: The classes of a table's columns; empty for answers.
      output: ``"tsv"``: the label and each class's score, or the answer, with a space in the place
        of each tab and line break; ``-`` where there is none. ``"jsonl"``: an object of ``label``
        and ``scores``, or of ``answer``; null where there is none. Scores have six decimals.
    """
    if output == "jsonl":
        return json.dumps(_object(found, bool(labels)), ensure_ascii=False)
    if found is None:
        return "\t".join([_NONE] * (1 + len(labels)))
    if isinstance(found, str):
        return _cell(found)
    return "\t".join(
        [_cell(found.label), *(f"{found.scores[name]:.{_DECIMALS}f}" for name in labels)]
    )


def _object(found: Prediction | str | None, has_labels: bool) -> dict[str, object]:
    if isinstance(found, Prediction):
        scores = {name: round(score, _DECIMALS) for name, score in found.scores.items()}
        return {"label": found.label, "scores": scores}
    return {"label": None, "scores": None} if has_labels else {"answer": found}


def _cell(text: str) -> str:
    return " ".join(text.replace("\t", " ").splitlines())
