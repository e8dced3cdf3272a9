"""One run at a time in a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

LOCK = "lock"


class FolderLock:
    """Held by the process that writes into a folder; the system frees it when the process ends.

    The file has the process's number, for the message; what counts is the system's lock on it, so
    the file of a process that was killed holds nobody up.

    Args:
      folder: Made where it is missing.

    Raises:
      FileExistsError: Another run is writing there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / LOCK
        while True:
            self._file = self._path.open("a+", encoding="utf-8")
            if not _locked(self._file.fileno()):
                self._file.seek(0)
                holder = self._file.read().strip() or "unknown"
                self._file.close()
                raise FileExistsError(
                    f"finetune: output must be a folder of its own, got {folder}, where process "
                    f"{holder} is running. Choose another folder, or wait for it."
                )
            # The holder before may have removed the file between our opening and our locking it.
            if self._path.exists() and os.path.samestat(
                self._path.stat(), os.fstat(self._file.fileno())
            ):
                break
            self._file.close()
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)
        self._file.close()


def _locked(file: int) -> bool:
    """Take the system's lock on a file, if nobody has it."""
    if os.name != "posix":  # no such lock: two runs are not told apart
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
