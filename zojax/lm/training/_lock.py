"""A lock that lets only one run at a time write into a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

LOCK = "lock"


class FolderLock:
    """A lock that is held by the process that writes into a folder.

    The lock is the operating system's lock on a file, which the system releases when the process
    ends: the file that a killed process leaves behind blocks no other process. The file contains
    the process's id, for the error message.

    Args:
      folder: The folder to lock; made if it does not exist.

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
            # The previous holder may have removed the file after it was opened here and before it
            # was locked: a lock on a removed file would exclude nobody.
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
    """Try to take the system's lock on an open file; return whether that succeeded."""
    if os.name != "posix":  # fcntl does not exist, so two runs in one folder are not detected
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
