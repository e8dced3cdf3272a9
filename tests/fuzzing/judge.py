"""What reading a damaged file comes to."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hypothesis import strategies as st

from fuzzing.mutations import Writer, altered, damaged

Outcome = Literal[
    "refused",  # by an error that the command line explains, which names the file
    "read right",  # as an independent reading of the file has it
    "refused without a name",
    "another error",
    "read wrong",
    "no end",
]
GOOD: tuple[Outcome, ...] = ("refused", "read right")
SECONDS = 20.0


class NoEnd(BaseException):
    """Reading takes longer than any file of this size may."""


@dataclass(frozen=True)
class Target:
    """A kind of file, and two ways to read it.

    Attributes:
      files: A sound example: the files of a folder by name.
      read: zojax's reader, of the folder.
      expect: What it must return of these files if it takes them; raises what it likes where they
        mean nothing.
      documents: The values in a file, and how they are written, to change them one by one.
      spared: Files that stay as they are.
      share: How many mutations of it to make, to those of others: reading may be slow.
    """

    files: Mapping[str, bytes]
    read: Callable[[Path], Any]
    expect: Callable[[Mapping[str, bytes]], Any]
    documents: Mapping[str, tuple[Any, Writer]] = field(default_factory=dict)
    spared: tuple[str, ...] = ()
    share: float = 1.0

    def mutations(self) -> st.SearchStrategy[tuple[str, bytes]]:
        """A file's name, and what has become of it."""
        choices = [
            st.tuples(st.just(name), damaged(content))
            for name, content in self.files.items()
            if name not in self.spared
        ]
        choices += [
            st.tuples(st.just(name), altered(document, write))
            for name, (document, write) in self.documents.items()
        ]
        return st.one_of(choices)


def judge(target: Target, folder: Path, name: str, content: bytes) -> tuple[Outcome, str]:
    """Read a folder whose file ``name`` has other content; return what came of it, and why."""
    files = {**target.files, name: content}
    for each, text in files.items():
        (folder / each).parent.mkdir(parents=True, exist_ok=True)
        (folder / each).write_bytes(text)
    try:
        with _limit(SECONDS):
            found = target.read(folder)
    except (ValueError, OSError) as error:
        named = name.partition("/")[0] in str(error)
        return ("refused" if named else "refused without a name"), repr(error)
    except NoEnd:
        return "no end", f"over {SECONDS} s"
    except BaseException as error:  # the point of it all: nothing else may come
        return "another error", repr(error)
    try:
        expected = target.expect(files)
    except Exception as error:
        return "read wrong", f"it means nothing: {error!r}; got {found!r}"
    # By what they print: NaN is NaN, and 1 is not True.
    right = repr(found) == repr(expected)
    return ("read right" if right else "read wrong"), f"{expected!r}, got {found!r}"


@contextmanager
def _limit(seconds: float) -> Generator[None]:
    def ring(*_: object) -> None:
        raise NoEnd

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
