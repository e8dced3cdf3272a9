"""Plain text files, each of which is one row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from zojax.lm.tasks import Row

_SUFFIX = ".txt"


def is_text_file(path: Path) -> bool:
    """Whether a file is one of plain text, by its name."""
    return path.suffix.lower() == _SUFFIX and not path.is_dir()


def text_file_rows(path: Path, column: str) -> Iterator[Row]:
    """Yield a file as one row, with the whole text in a column.

    Raises:
      FileNotFoundError: There is no such file.
      ValueError: The file is not in UTF-8.
    """
    if not path.is_file():
        raise FileNotFoundError(f"read_examples: there is no file {path}.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"read_examples: {path} must be text in UTF-8, got something else ({error})."
        ) from error
    yield Row({column: text}, str(path))
