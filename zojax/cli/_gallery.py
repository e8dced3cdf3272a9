"""The command ``zojax gallery``: prints a table, and writes images and results into a folder."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from zojax import gallery
from zojax.cli._gallery_arguments import GalleryArguments


def run_gallery(arguments: GalleryArguments, command: str) -> None:
    """Run the gallery, print and write its results; progress is printed to stderr.

    Args:
      arguments: The command's arguments.
      command: The command line, which is written into results.json.

    Raises:
      FileExistsError: The folder is not empty and may not be overwritten.
      ImportError: matplotlib or pillow is not installed.
      ValueError: As for :func:`zojax.gallery.run`.
    """
    folder = arguments.out or Path("runs") / f"{time.strftime('%Y-%m-%d-%H%M%S')}-gallery"
    gallery.check_folder(folder, overwrite=arguments.overwrite)
    found = gallery.run(
        arguments.functions,
        arguments.optimizers,
        steps=arguments.steps,
        seeds=arguments.seeds,
        seed=arguments.seed,
        tell=_tell,
    )
    print(_table(found))
    _tell("drawing")
    files = gallery.draw(found, folder, overwrite=arguments.overwrite)
    for path in (*files, gallery.write_results(found, folder, command)):
        print(f"written: {path}")


def _table(found: gallery.Gallery) -> str:
    header = ("function", "optimizer", "rate", "final value", "quartiles")
    lines = ["{:<20}{:<22}{:>9}{:>13}  {}".format(*header)]
    for row in found.rows():
        function, optimizer, rate, *final = row.values()
        median, lower, upper = ("diverged" if v is None else f"{v:.2e}" for v in final)
        lines.append(f"{function:<20}{optimizer:<22}{rate:>9.3g}{median:>13}  {lower} {upper}")
    return "\n".join(lines)


def _tell(text: str) -> None:
    print(f"{text} ...", file=sys.stderr, flush=True)
