"""The packages that models need, which zojax itself does not."""

from __future__ import annotations

import importlib


def require_packages(where: str) -> None:
    """Refuse to go on without them.

    Args:
      where: The function that the user called, for the message.

    Raises:
      ImportError: A package is missing; the message names it and the extra that has it.
    """
    try:
        for package in ("flax", "safetensors", "tokenizers"):
            importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ImportError(
            f'{where}: language models need {error.name}: pip install "zojax[hf]".'
        ) from error
