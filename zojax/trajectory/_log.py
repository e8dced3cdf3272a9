"""The trajectory log: a header, then a record of a few bytes for each step, append-only."""

from __future__ import annotations

import binascii
import errno
import os
import struct
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from zojax.trajectory._header import Header, LogDtype, pack, unpack
from zojax.trajectory._meters import Field

_CHECKSUM = struct.Struct("<H")


class Log(NamedTuple):
    """What a log says.

    Attributes:
      header: What came before the first step.
      scalars: float32 [n, k]: of each step, what its update measured; NaN where it was skipped.
      size: Bytes of the header and these n records.
      checksum: Of these bytes, to go on from.
    """

    header: Header
    scalars: np.ndarray
    size: int
    checksum: int


def record_dtype(fields: tuple[Field, ...], dtype: LogDtype) -> np.dtype[Any]:
    """How a step's scalars lie in its record, little-endian, without the checksum."""
    formats = {
        "slopes": np.dtype("<f4") if dtype == "float32" else np.dtype(ml_dtypes.bfloat16),
        "sign": np.dtype("i1"),  # -1, 0 or 1
        "loss": np.dtype("<f4"),
    }
    return np.dtype([(f"{i}", formats[f.kind], (f.size,)) for i, f in enumerate(fields)])


class LogWriter:
    """Appends the record of each step to a log.

    A record is written by one call of the operating system and has two bytes of CRC-16 over the log
    so far, so that a record that is torn, altered, missing or out of order is found. A process that
    is killed leaves every record that was appended; a machine that loses power may not.

    Args:
      path: The file; one that is there is replaced.
      header: Its header.

    Raises:
      OSError: The file cannot be written; the disk is full, say.
    """

    def __init__(self, path: str | Path, header: Header) -> None:
        path = Path(path)
        part = path.with_name(path.name + ".part")
        content = pack(header)
        part.write_bytes(content)
        part.replace(path)
        self._open(path, header, _seed(content), 0)

    @classmethod
    def reopen(cls, path: str | Path, log: Log) -> LogWriter:
        """Go on after the records of ``log``; what lies behind them in the file is cut off."""
        writer = cls.__new__(cls)
        os.truncate(path, log.size)
        writer._open(Path(path), log.header, log.checksum, len(log.scalars))
        return writer

    def _open(self, path: Path, header: Header, checksum: int, steps: int) -> None:
        self._file = path.open("ab", buffering=0)
        self._fields, self._dtype = header.fields, record_dtype(header.fields, header.dtype)
        self._checksum = checksum
        self.steps = steps  # records in the file

    def append(self, scalars: np.ndarray) -> None:
        """Write the record of the next step.

        Args:
          scalars: float32 [k]: all that its update measured, in the order of the header's fields.

        Raises:
          ValueError: k is not that of the header.
          OSError: The record cannot be written; the disk is full, say.
        """
        wanted = sum(field.size for field in self._fields)
        if scalars.shape != (wanted,):
            raise ValueError(
                f"LogWriter.append: scalars must have shape {(wanted,)}, for the header's fields "
                f"are {self._fields}, got {scalars.shape}."
            )
        record, start = np.zeros((), self._dtype), 0
        for i, field in enumerate(self._fields):
            record[f"{i}"] = scalars[start : start + field.size]
            start += field.size
        payload = record.tobytes()
        self._checksum = binascii.crc_hqx(payload, self._checksum)
        content = payload + _CHECKSUM.pack(self._checksum)
        if self._file.write(content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)
        self.steps += 1

    def sync(self) -> None:
        """Wait until the disk has what was appended."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write no more."""
        self._file.close()


def read_log(path: str | Path, *, until: int | None = None, cut: bool = False) -> Log:
    """Read a log, and check every record.

    Args:
      path: The file.
      until: Steps to read; all of them where None. What comes after is not looked at.
      cut: Leave out a last record that a crash has torn, instead of refusing it.

    Raises:
      FileNotFoundError: There is no such file.
      ValueError: The file is no log or of another version, has fewer than ``until`` steps, or is
        cut off or altered; the message names the last good step.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"read_log: there is no trajectory log {path}.")
    data = path.read_bytes()
    header, start = unpack(data, path)
    dtype = record_dtype(header.fields, header.dtype)
    stride = dtype.itemsize + _CHECKSUM.size
    steps, checksum = _good(data, start, stride, until)
    end = start + steps * stride
    rest = len(data) - end
    if cut and rest <= stride:
        rest = 0
    if until is not None and steps < until and rest == 0:
        raise ValueError(
            f"read_log: until must be <= {steps}, the last step of {path}, got {until}."
        )
    if steps != until and rest:
        raise ValueError(
            f"read_log: {path} is cut off or altered at step {steps + 1}. The last good step is "
            f"{steps}: replay until that one, or copy the log again."
        )
    records = np.ndarray((steps,), dtype, data, start, (stride,))
    columns = [records[name].astype(np.float32) for name in dtype.names or ()]
    scalars = np.concatenate([np.zeros((steps, 0), np.float32), *columns], axis=1)
    return Log(header, scalars, end, checksum)


def _good(data: bytes, start: int, stride: int, until: int | None) -> tuple[int, int]:
    """How many records follow each other without a fault, and the checksum of the last."""
    steps = (len(data) - start) // stride
    steps = steps if until is None else min(steps, until)
    checksum = _seed(data[:start])
    for step in range(steps):
        at = start + step * stride
        found = binascii.crc_hqx(data[at : at + stride - _CHECKSUM.size], checksum)
        if data[at + stride - _CHECKSUM.size : at + stride] != _CHECKSUM.pack(found):
            return step, checksum
        checksum = found
    return steps, checksum


def _seed(header: bytes) -> int:
    """What the first record's checksum starts from: records of another header do not fit."""
    # Its own checksum, at its end: that of all with that would be the same for every header.
    return int.from_bytes(header[-4:], "little") & 0xFFFF
