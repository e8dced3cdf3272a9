"""The ``zojax`` command: ``finetune``, ``eval``, ``plan``, ``gallery``, ``--version``."""

from zojax.cli._main import main as main

__all__ = ["main"]
