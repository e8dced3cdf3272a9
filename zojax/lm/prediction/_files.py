"""The files of an evaluation: figures as JSON, and confusion matrices as pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from zojax.lm.prediction._class_figures import as_json
from zojax.lm.training import Confusion, Evaluation

_MOST_NUMBERS = 12  # classes whose counts a picture has room for


def new_folder(output: str | Path) -> Path:
    """Return the absolute path of the folder for the files, before the work that they are of.

    Raises:
      FileExistsError: ``output`` is not empty.
    """
    folder = Path(output).expanduser().absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"eval: output must be a new or empty folder, got {folder}.")
    return folder


def write_evaluations(found: Mapping[str, Evaluation], folder: Path) -> list[Path]:
    """Write ``evaluation.json`` and, for each model of a task with classes, a picture.

    Args:
      found: The evaluations by the names of the models, as
        :func:`zojax.lm.training.evaluate_run` returns them.
      folder: Made if it does not exist; files of these names are replaced.

    Returns:
      The files. A picture is ``confusion.png`` for a single model, otherwise it has the model's
      name, as in ``confusion-best.png``.

    Raises:
      ImportError: matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "evaluation.json"
    content = {name: as_json(evaluation) for name, evaluation in found.items()}
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    files = [file]
    for name, evaluation in found.items():
        if evaluation.confusion is not None:
            picture = folder / ("confusion.png" if len(found) == 1 else f"confusion-{name}.png")
            draw_confusion(evaluation.confusion, picture)
            files.append(picture)
    return files


def draw_confusion(confusion: Confusion, path: Path) -> None:
    """Draw a confusion matrix into a PNG file; each row is shaded by its parts.

    Raises:
      ImportError: matplotlib is not installed.
    """
    try:
        # Figure draws without pyplot, which has global state and may need a window system.
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ImportError(
            'eval: the picture needs matplotlib: pip install "zojax[demo]".'
        ) from error
    labels, counts = confusion
    places = range(len(labels))
    parts = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    side = min(12.0, 2.5 + 0.6 * len(labels))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    shades = axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(places, labels, rotation=90)
    axes.set_yticks(places, labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    for i in places if len(labels) <= _MOST_NUMBERS else ():
        for j in places:
            color = "white" if parts[i, j] > 0.5 else "black"
            axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=color)
    figure.colorbar(shades, label="part of the class")
    figure.savefig(path, dpi=150)
