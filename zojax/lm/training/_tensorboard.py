"""Metrics as event files, which TensorBoard shows."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from zojax.lm.training._observer import Observer


class TensorBoard(Observer):
    """Writes each line of metrics.jsonl into event files, too.

    Args:
      folder: Where the event files are written; made if it does not exist. Files that are there
        stay: TensorBoard shows the events of a resumed run after those of before.

    Raises:
      ImportError: tensorboardX is not installed.

    Examples:
      >>> from zojax.lm.training import FinetuneConfig, TensorBoard, finetune
      >>> finetune(FinetuneConfig(), TensorBoard("events"))  # doctest: +SKIP
    """

    def __init__(self, folder: str | Path) -> None:
        if importlib.util.find_spec("tensorboardX") is None:
            raise ImportError(
                'finetune: tensorboard needs tensorboardX: pip install "zojax[tensorboard]".'
            )
        self._folder, self._writer = Path(folder), None

    def logged(self, metrics: dict[str, Any]) -> None:
        """Write one line's numbers at its step."""
        writer = self._writer or self._opened(metrics["step"])
        for name, value in metrics.items():
            if name != "step" and value is not None:
                writer.add_scalar(name, value, metrics["step"])
        writer.flush()

    def stopped(self) -> None:
        """Close the file; a later line opens another."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _opened(self, step: int) -> Any:
        from tensorboardX import SummaryWriter

        # Events of steps that are taken again after an interruption are not shown twice.
        self._writer = SummaryWriter(str(self._folder), purge_step=step)
        return self._writer
