"""The mean loss in a line of metrics.jsonl, and the losses that the next line averages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from zojax.lm.settings import FinetuneConfig

# A step and its loss, little-endian.
_ENTRY = np.dtype([("step", "<u4"), ("loss", "<f8")])


def mean_loss(losses: Sequence[float]) -> tuple[float, int]:
    """Return the mean of the finite losses, NaN if there are none, and how many are not finite."""
    finite = [loss for loss in losses if np.isfinite(loss)]
    mean = float(np.mean(np.array(finite, np.float32))) if finite else np.nan
    return mean, len(losses) - len(finite)


def loss_metrics(mean: float, left_out: int) -> dict[str, float]:
    """The results of :func:`mean_loss` under their names in metrics.jsonl."""
    loss = {"loss": mean} if np.isfinite(mean) else {}
    return {**loss, **({"left_out": left_out} if left_out else {})}


def is_due(config: FinetuneConfig, step: int) -> bool:
    """Whether an uninterrupted run writes a line of metrics.jsonl after ``step``."""
    return any(step % every == 0 for every in (config.log_every, config.eval_every)) or (
        step == config.num_steps
    )


def window(config: FinetuneConfig, step: int) -> range:
    """The steps that the line of ``step`` averages, from the previous line up to ``step``."""
    before = max((step - 1) // every * every for every in (config.log_every, config.eval_every))
    return range(before + 1, step + 1)


class Losses:
    """Keeps on the disk the losses that the next line averages, for a run that is resumed.

    The log does not contain losses, because updates do not need them.

    Args:
      path: The file; if it exists, losses are appended to it.
      writes: Whether this process is the one that writes.
    """

    def __init__(self, path: Path, *, writes: bool) -> None:
        self._path, self._writes = path, writes

    def add(self, step: int, loss: float) -> None:
        """Store the loss of a step. Must be called before the step is logged.

        Raises:
          OSError: The file cannot be written, for example because the disk is full.
        """
        if self._writes:
            entry = np.array((step, loss), _ENTRY).tobytes()
            with self._path.open("ab", buffering=0) as file:
                file.write(entry)

    def read(self, steps: Iterable[int]) -> list[float]:
        """Return the losses of ``steps``; NaN for a step whose loss is not stored."""
        data = self._path.read_bytes() if self._path.is_file() else b""
        # A crash may have truncated the last entry, which is ignored.
        size = len(data) // _ENTRY.itemsize * _ENTRY.itemsize
        entries = np.frombuffer(data[:size], _ENTRY).tolist()
        found: dict[int, float] = dict(entries)
        return [found.get(step, np.nan) for step in steps]

    def keep(self, steps: range) -> None:
        """Remove the losses of other steps: they are already averaged, or will be stored again."""
        if not self._writes or not self._path.is_file():
            return
        if not steps:
            self._path.unlink()
            return
        entries = np.array([*zip(steps, self.read(steps), strict=True)], _ENTRY)
        part = self._path.with_name(f"{self._path.name}.part")
        part.write_bytes(entries.tobytes())
        part.replace(self._path)
