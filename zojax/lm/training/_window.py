"""What a line of metrics.jsonl says of losses, and those that the next line is the mean of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from zojax.lm.training._config import FinetuneConfig

# A step and its loss, little-endian.
_ENTRY = np.dtype([("step", "<u4"), ("loss", "<f8")])


def mean_loss(losses: Sequence[float]) -> tuple[float, int]:
    """The mean over the finite ones, NaN if there are none, and how many it leaves out."""
    finite = [loss for loss in losses if np.isfinite(loss)]
    mean = float(np.mean(np.array(finite, np.float32))) if finite else np.nan
    return mean, len(losses) - len(finite)


def loss_metrics(mean: float, left_out: int) -> dict[str, float]:
    """What :func:`mean_loss` came to, as a line of metrics.jsonl names it."""
    loss = {"loss": mean} if np.isfinite(mean) else {}
    return {**loss, **({"left_out": left_out} if left_out else {})}


def is_due(config: FinetuneConfig, step: int) -> bool:
    """Whether a run that nothing stops writes a line after ``step``."""
    return any(step % every == 0 for every in (config.log_every, config.eval_every)) or (
        step == config.steps
    )


def window(config: FinetuneConfig, step: int) -> range:
    """The steps since the line before that of ``step``, up to it."""
    before = max((step - 1) // every * every for every in (config.log_every, config.eval_every))
    return range(before + 1, step + 1)


class Losses:
    """Keeps losses on the disk, so that the mean of a run that goes on is that of one unstopped.

    The log has no losses, for an update needs none.

    Args:
      path: The file; one that is there is gone on with.
      writes: Whether this process is the one that writes.
    """

    def __init__(self, path: Path, *, writes: bool) -> None:
        self._path, self._writes = path, writes

    def add(self, step: int, loss: float) -> None:
        """Keep the loss of a step; to be called before the step is logged.

        Raises:
          OSError: It cannot be written; the disk is full, say.
        """
        if self._writes:
            entry = np.array((step, loss), _ENTRY).tobytes()
            with self._path.open("ab", buffering=0) as file:
                file.write(entry)

    def read(self, steps: Iterable[int]) -> list[float]:
        """The losses of ``steps``; NaN for one that is not there."""
        data = self._path.read_bytes() if self._path.is_file() else b""
        whole = len(data) // _ENTRY.itemsize * _ENTRY.itemsize  # a crash may have torn the last
        entries = np.frombuffer(data[:whole], _ENTRY).tolist()
        found: dict[int, float] = dict(entries)
        return [found.get(step, np.nan) for step in steps]

    def keep(self, steps: range) -> None:
        """Forget all others: their mean has its line, or they are to be taken again."""
        if not self._writes or not self._path.is_file():
            return
        if not steps:
            self._path.unlink()
            return
        entries = np.array([*zip(steps, self.read(steps), strict=True)], _ENTRY)
        part = self._path.with_name(f"{self._path.name}.part")
        part.write_bytes(entries.tobytes())
        part.replace(self._path)
