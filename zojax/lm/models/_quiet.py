"""transformers without its warning that Flax ends with version 5."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from types import ModuleType


@contextlib.contextmanager
def quiet(transformers: ModuleType) -> Generator[None]:
    """Mute transformers' log, and give it its level back."""
    logging = transformers.utils.logging
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
