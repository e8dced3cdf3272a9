"""An animation of the trajectories, as a GIF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from zojax.gallery._pictures import image, landscape, legend, style
from zojax.gallery._run import Gallery, Run

_FRAMES = 48
_COLOURS = 128
_DPI = 80
_MILLISECONDS = 80
_LAST_MILLISECONDS = 2500


def animate(gallery: Gallery, path: Path) -> None:
    """Write a GIF of each optimizer's median run, with a dot at its current point.

    The step grows with the square of the frame's number, because runs move most in their first
    steps.
    """
    figure, panels = landscape(gallery)
    drawn: list[tuple[Run, Any, Any]] = []
    for function, axes in panels.items():
        for number, run in enumerate(gallery.of(function)):
            look = style(number, run.optimizer.name)
            [line] = axes.plot([], [], **look)
            [dot] = axes.plot([], [], "o", color=look["color"], markersize=5)
            drawn.append((run, line, dot))
    legend(figure, panels)
    figure.draw_without_rendering()
    # The layout is computed once: computing it for every frame would double the drawing time.
    figure.set_layout_engine("none")
    frames = [_frame(figure, drawn, (n / (_FRAMES - 1)) ** 2) for n in range(_FRAMES)]
    # All frames use the palette of the last one, which has the most lines, so that colours do not
    # change during the animation.
    palette = frames[-1].quantize(_COLOURS)
    frames = [frame.quantize(palette=palette, dither=0) for frame in frames]
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=[_MILLISECONDS] * (_FRAMES - 1) + [_LAST_MILLISECONDS],
        loop=0,
    )


def _frame(figure: Any, drawn: list[tuple[Run, Any, Any]], progress: float) -> Any:
    for run, line, dot in drawn:
        path = run.points[run.median_seed]
        end = 1 + round(progress * (len(path) - 1))
        line.set_data(*path[:end].T)
        dot.set_data(*np.split(path[end - 1], 2))
    return image(figure, _DPI)
