"""The trajectory log: a header, and for each step a record of a few bytes that is appended."""

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
from zojax.trajectory._meters import Field, Recorder

_CHECKSUM = struct.Struct("<H")


class Log(NamedTuple):
    """The content of a log.

    Attributes:
      header: The header.
      scalars: float32 [n, k]: the scalars that each step's update measured; NaN where skipped.
      size: Bytes of the header and these n records.
      checksum: The checksum of these bytes, from which that of the next record is computed.
    """

    header: Header
    scalars: np.ndarray
    size: int
    checksum: int


def record_dtype(fields: tuple[Field, ...], dtype: LogDtype) -> np.dtype[Any]:
    """The layout of a step's scalars in its record, little-endian, without the checksum."""
    formats = {
        "slopes": np.dtype("<f4") if dtype == "float32" else np.dtype(ml_dtypes.bfloat16),
        "sign": np.dtype("i1"),  # -1, 0 or 1
        "loss": np.dtype("<f4"),
    }
    return np.dtype([(f"{i}", formats[f.kind], (f.size,)) for i, f in enumerate(fields)])


class LogWriter:
    """Appends the record of each step to a log.

    Each record is written by one call of the operating system and ends in a CRC-16 of the log so
    far, so that truncated, altered, missing and misplaced records are detected. If the process is
    killed, all records that were appended are in the file; if the machine loses power, some may be
    missing.

    Args:
      path: The file; an existing one is replaced.
      header: The log's header.

    Raises:
      OSError: The file cannot be written, for example because the disk is full.
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
        """Append after the records of ``log``; bytes after them are removed from the file."""
        writer = cls.__new__(cls)
        os.truncate(path, log.size)
        writer._open(Path(path), log.header, log.checksum, len(log.scalars))
        return writer

    def _open(self, path: Path, header: Header, checksum: int, steps: int) -> None:
        self._file = path.open("ab", buffering=0)
        self._fields, self._dtype = header.fields, record_dtype(header.fields, header.dtype)
        self._checksum, self._slopes = checksum, header.dtype
        self.steps = steps  # number of records in the file

    def recorder(self) -> Recorder:
        """A new recorder of a step, in the log's dtype."""
        return Recorder(self._slopes)

    def append(self, scalars: np.ndarray) -> None:
        """Write the record of the next step.

        Args:
          scalars: float32 [k]: all that its update measured, in the order of the header's fields.

        Raises:
          ValueError: k is not the number of scalars of the header's fields.
          OSError: The record cannot be written, for example because the disk is full.
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
        """Wait until all records are on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_log(path: str | Path, *, until: int | None = None, cut: bool = False) -> Log:
    """Read a log, and check every record.

    Args:
      path: The file.
      until: The number of steps to read; None reads all. Bytes after these steps are not checked.
      cut: Ignore a last record that a crash has truncated, instead of refusing the log.

    Raises:
      FileNotFoundError: The file does not exist.
      ValueError: The file is not a log or is of another version, has fewer than ``until`` steps, or
        is truncated or altered; the message names the last good step.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"read_log: there is no trajectory log {path}.")
    data = path.read_bytes()
    header, start = unpack(data, path)
    dtype = record_dtype(header.fields, header.dtype)
    stride = dtype.itemsize + _CHECKSUM.size
    steps, checksum = _count_good(data, start, stride, until)
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
            f"read_log: {path} is truncated or altered at step {steps + 1}. The last good step is "
            f"{steps}: replay until that step, or copy the log again."
        )
    records = np.ndarray((steps,), dtype, data, start, (stride,))
    columns = [records[name].astype(np.float32) for name in dtype.names or ()]
    scalars = np.concatenate([np.zeros((steps, 0), np.float32), *columns], axis=1)
    return Log(header, scalars, end, checksum)


def _count_good(data: bytes, start: int, stride: int, until: int | None) -> tuple[int, int]:
    """Return the number of valid records before the first damaged one, and the last checksum."""
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
    """Return the initial CRC of the first record, so that records of another header are refused."""
    # It is derived from the checksum at the header's end. A CRC over the header and its own
    # checksum would be the same for every header.
    return int.from_bytes(header[-4:], "little") & 0xFFFF
