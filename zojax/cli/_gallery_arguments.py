"""The arguments of ``zojax gallery``, whose choices are the library's functions and optimizers."""

from dataclasses import dataclass, field
from pathlib import Path

from zojax import gallery


@dataclass(frozen=True)
class GalleryArguments:
    """Draw optimizers on test functions of two parameters.

    Trajectories over contours, curves, and an animation. Each optimizer has the same budget and
    the best learning rate of the same grid. Without options: the functions and optimizers of the
    ZO-AdaMU paper's Figure 2, in about a minute.
    """

    functions: tuple[str, ...] = field(
        default=tuple(gallery.FUNCTIONS), metadata={"choices": tuple(gallery.FUNCTIONS)}
    )
    """The test functions."""
    optimizers: tuple[str, ...] = field(
        default=gallery.PAPERS, metadata={"choices": tuple(gallery.OPTIMIZERS)}
    )
    """The optimizers, in the order in which they are drawn."""
    steps: int = 1000
    """The budget, in steps of two forward passes; a gradient costs three forward passes."""
    seeds: int = 25
    """Runs to tune each learning rate with; as many others are shown."""
    seed: int = 0
    """Determines all random numbers."""
    out: Path | None = None
    """Folder for the images and results.json; without it, runs/<date-time>-gallery."""
    overwrite: bool = False
    """Replace the gallery that is in this folder."""
