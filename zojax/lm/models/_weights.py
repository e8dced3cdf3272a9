"""Reads weights from files: safetensors, Flax's msgpack, PyTorch's format; one file or sharded."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from zojax.lm.models._files import find
from zojax.lm.models._names import Path as LeafPath
from zojax.lm.models._names import Place, finder

_SAFETENSORS, _MSGPACK, _PYTORCH = "model.safetensors", "flax_model.msgpack", "pytorch_model.bin"
# Tensors that some files have and no logits depend on: repeated, or of tables that are computed.
_IGNORED = re.compile(
    r"(.*\.)?(rotary_emb\.inv_freq|rotary_emb\.\w+|position_ids|masked_bias|pooler\..*"
    r"|lm_head\.decoder\.bias)"
)


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
    shapes: Mapping[LeafPath, jax.ShapeDtypeStruct],
    places: Mapping[str, Place],
    *,
    base: str,
    unused: tuple[str, ...],
    overruled: Collection[str] = (),
    source: str,
) -> dict[LeafPath, jax.Array]:
    """Put named tensors where they belong, each straight onto its devices.

    Args:
      tensors: Tensors named as in transformers' Flax or PyTorch model.
      shapes: The parameters: shape, dtype and sharding. Tensors are converted to the dtype.
      places: The name of each tensor in transformers' PyTorch model, and its place.
      base: transformers' name of the model without its head; names may lack it.
      unused: Names of tensors that are not needed, such as that of a head that is tied.
      overruled: Names of tensors that count only where the file lacks the other one of their
        place.
      source: The model's folder, for messages.

    Cost: beside the parameters, one tensor on the host, with one shard of it in the leaf's dtype
      and order, and its part on each device.

    Raises:
      ValueError: A tensor has another shape or an unknown name, or one is missing.
    """
    lookup = finder(places, base)
    found: dict[LeafPath, jax.Array] = {}
    missing = set(places.values())
    unknown: list[str] = []
    for name, tensor in tensors:
        where = lookup(name)
        if where is None:
            if name not in unused and not _IGNORED.fullmatch(name):
                unknown.append(name)
            del tensor
            continue
        place, transposed = where
        if name in overruled and place not in missing:
            continue
        tensor = tensor.T if transposed else tensor  # noqa: PLW2901
        leaf = shapes[place.path]
        shape = leaf.shape if place.layer is None else leaf.shape[1:]
        if tensor.shape != shape:
            wanted, got = (x[::-1] if transposed else x for x in (shape, tensor.shape))
            raise ValueError(
                f"load: the weight {name} must have the shape {wanted}, as config.json says, got "
                f"{got}. Take both from the same model."
            )
        missing.discard(place)
        if place.layer is None:
            new = _put(tensor, leaf.dtype, leaf.sharding)
        else:
            stack = found.pop(place.path) if place.path in found else _empty(leaf)
            part = _put(tensor, leaf.dtype, _without_layers(leaf.sharding))
            new = _write(stack, part, jnp.int32(place.layer))
            del stack, part
        # Waited for, so that neither the host nor a device holds a second tensor.
        found[place.path] = jax.block_until_ready(new)
        del tensor, new
    _check(source, unknown, [name for name, place in places.items() if place in missing])
    return found


def _check(source: str, unknown: list[str], missing: list[str]) -> None:
    if missing:
        raise ValueError(
            f"load: {source} lacks {len(missing)} weights; the first are {sorted(missing)[:5]}. "
            "Give a complete checkpoint."
        )
    if unknown:
        raise ValueError(
            f"load: {source} has {len(unknown)} weights that are not known for this model; the "
            f"first are {sorted(unknown)[:5]}. Take the weights and config.json from the same "
            "model."
        )


def _put(tensor: np.ndarray, dtype: DTypeLike, sharding: jax.sharding.Sharding | None) -> jax.Array:
    """Put a tensor on its devices, which get a shard each, one after another."""
    if sharding is None:
        return jnp.asarray(np.ascontiguousarray(tensor.astype(dtype, copy=False)))
    places = sharding.addressable_devices_indices_map(tensor.shape)
    shards: list[jax.Array] = []
    for device, index in places.items():
        # A copy in C order: a transposed view would be copied on the device instead.
        shard = np.ascontiguousarray(tensor[index].astype(dtype, copy=False))
        # Waited for, so that the host holds no more than one shard besides the tensor.
        shards.append(jax.block_until_ready(jax.device_put(shard, device)))
    return jax.make_array_from_single_device_arrays(tensor.shape, sharding, shards)


def _empty(leaf: jax.ShapeDtypeStruct) -> jax.Array:
    return jnp.zeros(leaf.shape, leaf.dtype, device=leaf.sharding)


def _without_layers(sharding: Any) -> Any:
    """The sharding of one layer of a stacked leaf."""
    if not isinstance(sharding, jax.sharding.NamedSharding):
        return sharding
    return jax.sharding.NamedSharding(sharding.mesh, jax.sharding.PartitionSpec(*sharding.spec[1:]))


@partial(jax.jit, donate_argnums=0)
def _write(stack: jax.Array, part: jax.Array, layer: jax.Array) -> jax.Array:
    """Write one layer of a stack in place."""
    return lax.dynamic_update_index_in_dim(stack, part, layer, 0)


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
