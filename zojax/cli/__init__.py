"""The ``zojax`` command: ``zojax --help`` lists what it does."""

from zojax.cli._main import main as main

__all__ = ["main"]
