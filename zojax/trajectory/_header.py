"""The header of a trajectory log, before the record of the first step."""

from __future__ import annotations

import binascii
import dataclasses
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np

from zojax._meter import Kind
from zojax._types import Array
from zojax.trajectory._meters import Field

MAGIC = b"zojaxlog"
# Version 2: only the slopes of a step that are not finite are NaN. In version 1, all slopes of the
# step were.
FORMAT = 2
# Bytes. Headers are much shorter, so a larger length means that the header is damaged.
_LONGEST = 1 << 24

LogDtype: TypeAlias = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Header:
    """All that a replay needs besides the base parameters.

    Attributes:
      optimizer: The optimizer's name.
      settings: Its hyper-parameters, the adapter, and anything else that the writer wants to store;
        JSON.
      key: The data of the optimizer's PRNG key.
      key_impl: The name of the key's generator.
      base: SHA-256 of the base parameters: see :func:`zojax.trajectory.fingerprint`.
      data_seed: The seed that determines the order of the data.
      fields: The scalars of a step, in the order in which the optimizer's links measure them.
      dtype: The dtype of the slopes.
      versions: The versions of the packages and the backend of the run; others may round
        differently.
    """

    optimizer: str
    settings: Mapping[str, Any]
    key: tuple[int, ...]
    key_impl: str
    base: str
    data_seed: int
    fields: tuple[Field, ...]
    dtype: LogDtype = "float32"
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])

    def prng_key(self) -> Array:
        """Return the optimizer's typed key."""
        return jax.random.wrap_key_data(jnp.array(self.key, jnp.uint32), impl=self.key_impl)


def key_parts(key: Array) -> tuple[tuple[int, ...], str]:
    """Return ``key`` and ``key_impl`` of a :class:`Header` for a typed key []."""
    return tuple(np.asarray(jax.random.key_data(key)).tolist()), str(jax.random.key_impl(key))


def pack(header: Header) -> bytes:
    """Return the bytes of a header, which a log starts with."""
    content = json.dumps({"format": FORMAT, **dataclasses.asdict(header)}).encode()
    body = MAGIC + struct.pack("<I", len(content)) + content
    return body + struct.pack("<I", binascii.crc32(body))


def unpack(data: bytes, path: object) -> tuple[Header, int]:
    """Return the header of a log, and the offset of its first record.

    Raises:
      ValueError: The bytes are not a log, are truncated or altered, or are of another version.
    """
    start = len(MAGIC) + 4
    if len(data) < start or not data.startswith(MAGIC):
        raise ValueError(f"read_log: {path} must be a trajectory log, got another kind of file.")
    (length,) = struct.unpack_from("<I", data, len(MAGIC))
    end = start + length
    complete = length <= _LONGEST and len(data) >= end + 4
    if not complete or struct.pack("<I", binascii.crc32(data[:end])) != data[end : end + 4]:
        raise ValueError(
            f"read_log: the header of {path} is truncated or altered, so none of its steps can be "
            "replayed. Copy the log again."
        )
    try:
        content = json.loads(data[start:end])
        version = content.pop("format")
        if version == FORMAT:
            return _header(content), end + 4
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"read_log: the header of {path} is not valid ({error!r}).") from error
    why = " It does not say which of a step's slopes were skipped." if version == 1 else ""
    raise ValueError(
        f"read_log: the format of {path} must be {FORMAT}, got {version!r}, that of "
        f"{_writer(content.get('versions'))}.{why} Use the version that wrote it."
    )


def _writer(versions: object) -> str:
    """Name the version of zojax that wrote a file, if the file says it."""
    named = versions.get("zojax") if isinstance(versions, dict) else None
    return f"zojax {named}" if isinstance(named, str) else "another version of zojax"


def _header(content: dict[str, Any]) -> Header:
    fields = tuple(Field(kind, size) for kind, size in content.pop("fields"))
    header = Header(fields=fields, key=tuple(content.pop("key")), **content)
    valid = (
        _are(str, header.optimizer, header.key_impl, header.base)
        and _are(dict, header.settings, header.versions)
        and _are(int, header.data_seed, *header.key)
        and all(0 <= word < 1 << 32 for word in header.key)
        and all(kind in get_args(Kind) and 1 <= size < 1 << 20 for kind, size in fields)
        and header.dtype in get_args(LogDtype)
    )
    if not valid:
        raise ValueError(f"a field has another type or value: {content}")
    return header


def _are(kind: type, *values: object) -> bool:
    return all(isinstance(value, kind) for value in values)
