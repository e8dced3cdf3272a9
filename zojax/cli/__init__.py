"""The ``zojax`` command: ``finetune``, ``eval``, ``baseline``, ``plan``, ``gallery``."""

from zojax.cli._main import main as main

__all__ = ["main"]
