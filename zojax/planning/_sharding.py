"""How a plan lays a model over several devices: tensor parallelism over one axis."""

from __future__ import annotations

import re
from typing import Any

import jax
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "model"

# Matrices [in, out] whose products stay apart until the next matrix, which is of the second kind
# and whose products are summed over the devices: one sum for attention, one for the feed-forward.
_BY_OUTPUT = re.compile(
    r"/(q_proj|k_proj|v_proj|fc1|gate_proj|up_proj|query|key|value|intermediate/dense|lm_head)/"
    r"kernel$"
)
_BY_INPUT = re.compile(r"/(out_proj|o_proj|fc2|down_proj|output/dense)/kernel$")
_VOCABULARY = re.compile(r"/(embed_tokens|word_embeddings)/embedding$")


def partition_spec(path: str, shape: tuple[int, ...], devices: int) -> PartitionSpec:
    """Where a parameter is cut, for OPT, RoBERTa, LLaMA and Mistral.

    Args:
      path: Its path, with slashes: ``/model/decoder/layers/0/fc1/kernel``.
      shape: Its shape.
      devices: Size of the mesh's axis ``"model"``.

    Returns:
      Matrices are cut once; vectors, and what ``devices`` does not divide, are on every device.
    """
    if len(shape) < 2:
        return PartitionSpec()
    if _BY_OUTPUT.search(path):
        preferred = [1, 0]
    elif _BY_INPUT.search(path) or _VOCABULARY.search(path):
        preferred = [0, 1]
    else:
        preferred = sorted(range(len(shape)), key=lambda axis: -shape[axis])
    for axis in preferred:
        if shape[axis] % devices == 0:
            return PartitionSpec(*[AXIS if i == axis else None for i in range(axis + 1)])
    return PartitionSpec()


def shard_params(params: Any, target: topologies.TopologyDescription) -> Any:
    """Give abstract parameters their shardings over the devices of ``target``."""
    mesh = Mesh(target.devices, (AXIS,))

    def placed(path: Any, leaf: Any) -> jax.ShapeDtypeStruct:
        name = "/" + jax.tree_util.keystr(path, simple=True, separator="/")
        spec = partition_spec(name, leaf.shape, len(target.devices))
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, spec))

    return jax.tree_util.tree_map_with_path(placed, params)


def shard_state(state: Any, params: Any) -> Any:
    """Give an optimizer's abstract state its shardings: as the parameters', or on every device.

    A leaf belongs to a parameter where its path ends in that parameter's, and its shape is the
    same.
    """
    placed = [(path, leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(params)]
    by_path = {(path, leaf.shape): leaf.sharding for path, leaf in placed}
    replicated = NamedSharding(placed[0][1].sharding.mesh, PartitionSpec())

    def sharding_of(path: Any, shape: tuple[int, ...]) -> NamedSharding:
        for start in range(len(path)):
            if (path[start:], shape) in by_path:
                return by_path[path[start:], shape]
        return replicated

    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=sharding_of(path, leaf.shape)
        ),
        state,
    )


def bytes_on_each(tree: Any) -> int:
    """Bytes that one device holds of a tree of abstract arrays."""
    total = 0
    for leaf in jax.tree.leaves(tree):
        shape = leaf.sharding.shard_shape(leaf.shape) if leaf.sharding else leaf.shape
        total += jax.ShapeDtypeStruct(shape, leaf.dtype).size * leaf.dtype.itemsize
    return total
