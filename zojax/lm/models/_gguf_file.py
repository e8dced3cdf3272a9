"""GGUF, llama.cpp's file format: metadata by name, and quantized tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_VERSIONS = (2, 3)
# The format's numbers of types -> NumPy's types.
_NUMBERS = {
    0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?",
    10: "<u8", 11: "<i8", 12: "<f8",
}  # fmt: skip
_STRING, _ARRAY = 8, 9
_ALIGNMENT = 32  # bytes, unless the metadata has general.alignment


class GgufTensor(NamedTuple):
    """A tensor as it is in the file.

    Attributes:
      name: llama.cpp's name.
      data: uint8 [..., bytes]: the rows, each quantized to bytes.
      kind: gguf's ``GGMLQuantizationType``.
    """

    name: str
    data: np.ndarray
    kind: Any


class GgufFile(NamedTuple):
    """The content of a GGUF file."""

    metadata: dict[str, Any]
    tensors: list[GgufTensor]


def read_file(files: Sequence[Path]) -> GgufFile:
    """Read a GGUF file, or one that is cut into parts.

    The package ``gguf`` has a reader too, which makes an array of every token, and so takes about
    10 s for a vocabulary of 262,144.

    Args:
      files: The parts in their order, which are joined byte by byte.

    Cost: one file is memory-mapped, not read; parts are read into memory.

    Raises:
      ValueError: It is not a GGUF file of a known version, or is truncated or damaged.
    """
    parts = [np.memmap(file, mode="r") for file in files if file.stat().st_size]
    data = parts[0] if len(parts) == 1 else np.concatenate([*parts, np.empty(0, np.uint8)])
    magic, version = bytes(data[:4]), int.from_bytes(bytes(data[4:8]), "little")
    if magic != b"GGUF" or version not in _VERSIONS:
        raise ValueError(
            f"load: {files[0]} must begin with b'GGUF' and a version in {_VERSIONS}, got {magic} "
            f"and {version}. Choose another file."
        )
    try:
        return _read(data)
    # ValueError: a number of no type, text that is not UTF-8, or a tensor cut short.
    except (KeyError, ValueError, _EndOfFileError) as error:
        raise ValueError(
            f"load: {files[0]} is truncated or damaged ({error!r}). Copy it again."
        ) from error


def _read(data: np.ndarray) -> GgufFile:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    reader = _Reader(data, start=8)
    tensors, settings = reader.number("<u8"), reader.number("<u8")
    metadata: dict[str, Any] = {}
    for _ in range(settings):
        name = reader.string()
        metadata[name] = reader.value(reader.number("<u4"))
    found: list[tuple[str, tuple[int, ...], Any, int]] = []
    for _ in range(tensors):
        name, dimensions = reader.string(), reader.number("<u4")
        shape = tuple(reader.numbers("<u8", dimensions)[::-1].tolist())
        kind, offset = GGMLQuantizationType(reader.number("<u4")), reader.number("<u8")
        found.append((name, shape, kind, offset))
    alignment = metadata.get("general.alignment", _ALIGNMENT)
    start = -(-reader.at // alignment) * alignment
    read: list[GgufTensor] = []
    for name, shape, kind, offset in found:
        block, size = GGML_QUANT_SIZES[kind]
        rows = (*shape[:-1], shape[-1] // block * size)
        part = data[start + offset :][: math.prod(rows)]
        read.append(GgufTensor(name, part.reshape(rows), kind))
    return GgufFile(metadata, read)


class _EndOfFileError(Exception):
    pass


class _Reader:
    """Reads one value after the other."""

    def __init__(self, data: np.ndarray, start: int) -> None:
        self._data = memoryview(data.data)  # whose slices cost less than an array's
        self.at = start

    def take(self, size: int) -> memoryview:
        if self.at + size > len(self._data):
            raise _EndOfFileError(f"byte {self.at + size} of {len(self._data)} is needed")
        self.at += size
        return self._data[self.at - size : self.at]

    def numbers(self, dtype: str, count: int) -> np.ndarray:
        return np.frombuffer(self.take(count * np.dtype(dtype).itemsize), dtype)

    def number(self, dtype: str) -> Any:
        return self.numbers(dtype, 1)[0].item()

    def string(self) -> str:
        return str(self.take(int.from_bytes(self.take(8), "little")), "utf-8")

    def value(self, kind: int) -> Any:
        """A number, a str, or a list of either."""
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            return self.number(_NUMBERS[kind])
        kind, count = self.number("<u4"), self.number("<u8")
        if kind in _NUMBERS:
            return self.numbers(_NUMBERS[kind], count).tolist()
        return [self.value(kind) for _ in range(count)]
