"""Mutes transformers' warning that Flax support ends with version 5."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from types import ModuleType


@contextlib.contextmanager
def quiet(transformers: ModuleType) -> Generator[None]:
    """Mute transformers' log, and restore its level afterwards."""
    logging = transformers.utils.logging
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
