"""The packages that models need, which zojax itself does not."""

from __future__ import annotations


def require_packages(where: str) -> None:
    """Refuse to go on without them.

    Args:
      where: The function that the user called, for the message.

    Raises:
      ImportError: A package is missing; the message names it and the extra that has it.
    """
    try:
        import flax  # noqa: F401
        import safetensors  # noqa: F401
        import tokenizers  # noqa: F401
    except ModuleNotFoundError as error:
        raise ImportError(
            f'{where}: language models need {error.name}: pip install "zojax[hf]".'
        ) from error
