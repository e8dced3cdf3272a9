"""Images of trajectories over filled contours, and of loss curves, as PNG."""

from __future__ import annotations

import importlib.util
import io
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zojax.gallery._functions import Function
from zojax.gallery._run import Gallery

_LEVELS = 24
_CELLS = 200  # grid points along each side of the window, for the contours
_LEAST = 1e-8  # smaller values are drawn as this one: they are rounding errors of float32
_COLOURS = 256  # size of an image's palette
_DPI = 110


def require() -> None:
    """Refuse, before the runs, if a package for drawing is missing.

    Raises:
      ImportError: matplotlib or pillow is not installed.
    """
    for module, package in (("matplotlib", "matplotlib"), ("PIL", "pillow")):
        if importlib.util.find_spec(module) is None:
            raise ImportError(f'gallery: {package} is missing: pip install "zojax[demo]".')


def draw_trajectories(gallery: Gallery, path: Path) -> None:
    """Draw each optimizer's median run on every function."""
    figure, panels = landscape(gallery)
    for function, axes in panels.items():
        for number, run in enumerate(gallery.of(function)):
            axes.plot(*run.points[run.median_seed].T, **style(number, run.optimizer.name))
    legend(figure, panels)
    save(figure, path)


def draw_curves(gallery: Gallery, path: Path) -> None:
    """Draw the median value over forward passes, with a band between the quartiles."""
    figure, panels = _panels(gallery)
    for function, axes in panels.items():
        axes.set_yscale("log")
        axes.set_xlabel("forward passes")
        axes.set_ylabel("value above the minimum")
        axes.grid(alpha=0.3)
        for number, run in enumerate(gallery.of(function)):
            lower, median, upper = (
                np.maximum(run.quantile(fraction), _LEAST) for fraction in (0.25, 0.5, 0.75)
            )
            label = style(number, run.optimizer.name)
            axes.plot(run.forward_passes, median, **label)
            band = {"color": label["color"], "alpha": 0.2, "linewidth": 0}
            axes.fill_between(run.forward_passes, lower, upper, **band)
    legend(figure, panels)
    save(figure, path)


def landscape(gallery: Gallery) -> tuple[Any, dict[Function, Any]]:
    """Make a figure with the contours of every function, its start and its minimum."""
    figure, panels = _panels(gallery)
    for function, axes in panels.items():
        x, y, z = _heights(function)
        # The levels are quantiles, so that contours show the shape in steep and in flat regions.
        levels = np.unique(np.quantile(z, np.linspace(0.0, 1.0, _LEVELS)))
        axes.contourf(x, y, z, levels=levels, cmap="Blues_r", norm=_by_rank(levels))
        axes.plot(*function.start, "o", color="black", markersize=4, zorder=5)
        star = {"color": "gold", "markeredgecolor": "black", "markersize": 11, "zorder": 5}
        axes.plot(*function.minimum, "*", **star)
        axes.set(xlim=function.limits[0], ylim=function.limits[1])
    return figure, panels


def style(number: int, name: str) -> dict[str, Any]:
    """The line style of the ``number``-th optimizer, the same in all images."""
    # Colours of tab10 without blue, in which the contours are drawn.
    colours = ("tab:red", "tab:orange", "tab:green", "tab:purple", "tab:brown", "tab:pink")
    dashes = ("solid", "dashed", "dotted")
    dash = dashes[number // len(colours) % len(dashes)]
    return {
        "color": colours[number % len(colours)],
        "linestyle": dash,
        # Later lines are thinner, so that lines below them stay visible.
        "linewidth": max(1.0, 3.0 - 0.6 * number),
        "label": name,
    }


def legend(figure: Any, panels: dict[Function, Any]) -> None:
    """Draw one legend below all panels."""
    handles, labels = next(iter(panels.values())).get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)


def image(figure: Any, dpi: int) -> Any:
    """Render a figure as an RGB image of pillow."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return Image.open(buffer).convert("RGB")


def save(figure: Any, path: Path) -> None:
    """Write a figure as a PNG with a palette, which makes the file small."""
    image(figure, _DPI).quantize(_COLOURS).save(path, optimize=True)


def _panels(gallery: Gallery) -> tuple[Any, dict[Function, Any]]:
    from matplotlib.figure import Figure

    functions = gallery.functions
    columns = min(3, len(functions))
    rows = math.ceil(len(functions) / columns)
    figure = Figure(figsize=(3.4 * columns, 2.8 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(functions) :]:
        axes.remove()
    panels = dict(zip(functions, grid, strict=False))
    for function, axes in panels.items():
        axes.set_title(function.formula, fontsize="medium")
    return figure, panels


def _heights(function: Function) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y = (np.linspace(*limits, _CELLS, dtype=np.float32) for limits in function.limits)
    points = jnp.stack(jnp.meshgrid(x, y), axis=-1)
    return x, y, np.asarray(jax.vmap(jax.vmap(function.value))(points))


def _by_rank(levels: np.ndarray) -> Any:
    """A norm that gives each level its own colour, even if the levels are spaced unequally."""
    from matplotlib.colors import BoundaryNorm

    return BoundaryNorm(levels, ncolors=256)
