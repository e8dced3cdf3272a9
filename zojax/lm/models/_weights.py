"""Reads weights from files: safetensors, Flax's msgpack, PyTorch's format; one file or sharded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

Paths = tuple[str, ...]

_SAFETENSORS, _MSGPACK, _PYTORCH = "model.safetensors", "flax_model.msgpack", "pytorch_model.bin"


def read(source: str, from_pt: bool) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the tensors of a folder or a hub name, one in memory at a time if the format allows.

    Args:
      source: A folder, or a name on the hub.
      from_pt: If there are no safetensors files, read PyTorch's own format instead of Flax's.

    Yields:
      The name in the file, whose parts are joined by dots, and the array.

    Raises:
      FileNotFoundError: There is no file of weights.
    """
    wanted = [_SAFETENSORS, _PYTORCH if from_pt else _MSGPACK]
    for name in wanted:
        files = _files(source, name)
        if files:
            for file in files:
                yield from _READERS[Path(name).suffix](file)
            return
    raise FileNotFoundError(
        f"load: {source} has no weights: neither {' nor '.join(wanted)}, in one file or sharded."
        + ("" if from_pt else f" To read {_PYTORCH}, set from_pt=True.")
    )


def collect(
    tensors: Iterable[tuple[str, np.ndarray]],
    shapes: Mapping[Paths, jax.ShapeDtypeStruct],
    prefix: str,
    dtype: DTypeLike,
) -> dict[Paths, jax.Array]:
    """Convert named tensors to the parameters of a Flax module.

    Args:
      tensors: Tensors named as in the module or as in transformers' PyTorch model. The names of a
        base model's tensors may lack the prefix.
      shapes: The module's parameters; other tensors are ignored.
      prefix: The base model's name within the module.
      dtype: Dtype of the result.

    Raises:
      ValueError: A tensor has another shape.
    """
    from transformers.modeling_flax_pytorch_utils import rename_key_and_reshape_tensor

    rename: Any = rename_key_and_reshape_tensor
    found: dict[Paths, jax.Array] = {}
    for name, tensor in tensors:
        path = tuple(name.split("."))
        if path not in shapes and (prefix, *path) not in shapes:
            path, tensor = rename(path, tensor, shapes, prefix)  # noqa: PLW2901
        if path not in shapes:
            path = (prefix, *path)
        if path not in shapes:
            continue
        if tensor.shape != shapes[path].shape:
            raise ValueError(
                f"load: the weight {name} must have the shape {shapes[path].shape}, as "
                f"config.json says, got {tensor.shape}. Take both from the same model."
            )
        found[path] = jnp.asarray(tensor, dtype)
    return found


def _files(source: str, name: str) -> list[str]:
    """Return the file of this name, or its shards, or an empty list."""
    file = find(source, name)
    if file is not None:
        return [file]
    index = find(source, f"{name}.index.json")
    if index is None:
        return []
    shards = sorted(set(json.loads(Path(index).read_text("utf-8"))["weight_map"].values()))
    files = [find(source, shard) for shard in shards]
    if None in files:
        raise FileNotFoundError(
            f"load: {source} lacks the shard {shards[files.index(None)]} that {index} names."
        )
    return [file for file in files if file is not None]


def find(source: str, name: str) -> str | None:
    """Return the path of a file of a folder or a hub name, downloaded if needed, or None."""
    from transformers.utils.hub import cached_file

    return cached_file(source, name, _raise_exceptions_for_missing_entries=False)


def _read_safetensors(file: str) -> Iterator[tuple[str, np.ndarray]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as archive:
            for name in archive.keys():  # noqa: SIM118 - an archive is not iterable
                yield name, archive.get_tensor(name)
    except SafetensorError as error:
        raise _damaged(file, error) from error


def _read_msgpack(file: str) -> Iterator[tuple[str, np.ndarray]]:
    from flax.serialization import msgpack_restore
    from flax.traverse_util import flatten_dict

    try:
        tensors: Any = flatten_dict(msgpack_restore(Path(file).read_bytes()), sep=".")
    except Exception as error:  # msgpack raises many types of errors for damaged files
        raise _damaged(file, error) from error
    yield from tensors.items()


def _damaged(file: str, error: Exception) -> ValueError:
    return ValueError(f"load: {file} is truncated or damaged ({error}). Copy it again.")


def _read_pytorch(file: str) -> Iterator[tuple[str, np.ndarray]]:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ImportError(f"load: {file} needs PyTorch: pip install torch.") from error

    for name, tensor in torch.load(file, map_location="cpu", weights_only=True).items():
        # NumPy has no bfloat16; float32 represents its values exactly.
        exact = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        yield name, exact.numpy()


_READERS = {".safetensors": _read_safetensors, ".msgpack": _read_msgpack, ".bin": _read_pytorch}
