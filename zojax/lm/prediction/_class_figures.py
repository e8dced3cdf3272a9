"""Figures of each class from a confusion matrix: precision, recall, F1."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from zojax.lm.training import Confusion, Evaluation


class ClassFigures(NamedTuple):
    """Precision, recall and F1 of C classes; 0 where a figure would be 0 / 0.

    A class that no example has counts in the macro averages of precision, recall and F1.
    """

    precision: np.ndarray  # float64 [C]: of the examples predicted as a class, the part that has it
    recall: np.ndarray  # float64 [C]: of the examples of a class, the part predicted as it
    f1: np.ndarray  # float64 [C]: the harmonic mean of the two
    support: np.ndarray  # int64 [C]: examples of the class
    accuracy: float  # part of all examples that are predicted right


def class_figures(confusion: Confusion) -> ClassFigures:
    """Compute the figures of each class.

    >>> found = class_figures(Confusion(("no", "yes"), np.array([[3, 1], [2, 4]])))
    >>> found.precision, found.recall, found.accuracy
    (array([0.6, 0.8]), array([0.75      , 0.66666667]), 0.7)
    """
    counts = confusion.counts
    right, predicted, support = np.diagonal(counts), counts.sum(axis=0), counts.sum(axis=1)
    return ClassFigures(
        _ratio(right, predicted),
        _ratio(right, support),
        _ratio(2 * right, predicted + support),
        support,
        float(_ratio(right.sum(), counts.sum())),
    )


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation in the types of JSON: the scores, and with classes their figures."""
    scores = evaluation.scores.as_dict()
    if evaluation.confusion is None:
        return scores
    labels, counts = evaluation.confusion
    found = class_figures(evaluation.confusion)
    classes = {
        label: {
            "precision": float(found.precision[i]),
            "recall": float(found.recall[i]),
            "f1": float(found.f1[i]),
            "support": int(found.support[i]),
        }
        for i, label in enumerate(labels)
    }
    macro = {name: float(getattr(found, name).mean()) for name in ("precision", "recall", "f1")}
    return {
        **scores,
        "classes": classes,
        "macro": macro,
        "confusion": {"labels": list(labels), "counts": counts.tolist()},
    }


def as_text(confusion: Confusion) -> str:
    """The figures and the confusion matrix as two tables of text."""
    found = class_figures(confusion)
    width = max(len("macro average"), *map(len, confusion.labels))
    lines = [f"{'class':<{width}}  precision  recall      F1  examples"]
    columns = (found.precision, found.recall, found.f1)
    for i, label in enumerate(confusion.labels):
        lines.append(_row(label, width, [column[i] for column in columns], found.support[i]))
    total = int(found.support.sum())
    lines.append(_row("macro average", width, [column.mean() for column in columns], total))
    cells = [[str(count) for count in row] for row in confusion.counts.tolist()]
    places = [
        max(len(label), *(len(row[i]) for row in cells)) for i, label in enumerate(confusion.labels)
    ]
    title = "true \\ predicted"
    width = max(width, len(title))
    lines += ["", f"{title:<{width}}" + _cells(confusion.labels, places)]
    lines += [
        f"{label:<{width}}" + _cells(row, places)
        for label, row in zip(confusion.labels, cells, strict=True)
    ]
    return "\n".join(lines)


def _row(label: str, width: int, parts: list[Any], support: int) -> str:
    precision, recall, f1 = (f"{part:.1%}" for part in parts)
    return f"{label:<{width}}  {precision:>9}  {recall:>6}  {f1:>6}  {support:>8}"


def _cells(row: Any, places: list[int]) -> str:
    return "".join(f"  {cell:>{place}}" for cell, place in zip(row, places, strict=True))


def _ratio(part: Any, whole: Any) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)
