"""The folder of a gallery: images, and the final values in results.json."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

from zojax.gallery._animation import animate
from zojax.gallery._pictures import draw_curves, draw_trajectories, require
from zojax.gallery._run import Gallery

_TRAJECTORIES, _CURVES, _ANIMATION = "trajectories.png", "curves.png", "animation.gif"
_RESULTS = "results.json"
_FILES = {_TRAJECTORIES, _CURVES, _ANIMATION, _RESULTS}
_PACKAGES = ("zojax", "jax", "jaxlib", "optax", "numpy", "matplotlib", "pillow")


def check_folder(folder: Path, *, overwrite: bool = False) -> None:
    """Check, before the runs, that images can be drawn into a folder.

    Args:
      folder: A new or empty folder.
      overwrite: Whether the folder may also contain an older gallery, and nothing else.

    Raises:
      FileExistsError: ``folder`` is a file, or contains files that may not be replaced.
      ImportError: matplotlib or pillow is not installed.
    """
    require()
    if folder.is_file():
        raise FileExistsError(f"gallery: out must be a folder, got the file {folder}.")
    found = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set[str]()
    if found - _FILES:
        raise FileExistsError(
            f"gallery: out must be a new or empty folder, or contain only a gallery, got {folder}. "
            "Choose another folder."
        )
    if found and not overwrite:
        raise FileExistsError(
            f"gallery: there is a gallery in {folder}. Choose another folder, or overwrite it."
        )


def draw(gallery: Gallery, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write trajectories.png, curves.png and animation.gif.

    Trajectories show each optimizer's median run, whose final value is the median over the seeds.
    Curves show medians over the seeds, with a band between the quartiles.

    Args:
      gallery: A gallery from :func:`run`.
      folder: A new or empty folder; made if it does not exist.
      overwrite: Whether the folder may also contain an older gallery, whose files are replaced.

    Returns:
      The files.

    Raises:
      FileExistsError: ``folder`` is a file, or contains files that may not be replaced.
      ImportError: matplotlib or pillow is not installed.
    """
    check_folder(folder, overwrite=overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    drawings = {_TRAJECTORIES: draw_trajectories, _CURVES: draw_curves, _ANIMATION: animate}
    for name, drawing in drawings.items():
        drawing(gallery, folder / name)
    return [folder / name for name in drawings]


def write_results(gallery: Gallery, folder: Path, command: str) -> Path:
    """Write results.json: the table of final values, and how it was produced.

    Args:
      gallery: A gallery from :func:`run`.
      folder: An existing folder, such as :func:`draw` has made.
      command: The command line that was run.

    Returns:
      The file.
    """
    rates = gallery.runs[0].learning_rates
    content: dict[str, Any] = {
        "rows": gallery.rows(),
        "steps": gallery.steps,
        "forward_passes": 2 * gallery.steps,
        "seeds": gallery.seeds,
        "seed": gallery.seed,
        "learning rates": f"{len(rates)} from {rates.min():g} to {rates.max():g}",
        "seconds": round(gallery.seconds, 1),
        "command": command,
        "versions": {package: metadata.version(package) for package in _PACKAGES},
    }
    path = folder / _RESULTS
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path
