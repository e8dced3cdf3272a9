"""Trees of shardings like the parameters."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from zojax.coordinates import slash_paths
from zojax.sharding._table import TENSOR_PARALLEL, Table

Layout: TypeAlias = Any
"""A tree like the parameters, of ``jax.sharding.NamedSharding``."""


def tensor_parallel(
    params: Any, mesh: Mesh, axis: str = "model", *, table: Table = TENSOR_PARALLEL
) -> Layout:
    """Cut each large matrix once, such that a layer needs two sums over the devices (Megatron).

    Args:
      params: Parameters, or their shapes, of OPT, RoBERTa, LLaMA or Mistral; of an adapted model
        too, whose adapter stays whole.
      mesh: The devices.
      axis: The mesh's axis to cut over. Let it divide the number of attention heads, of keys and
        values too, or the forward pass moves parts of heads between devices.
      table: Lines of a glob for a whole '/'-joined path, in which ``*`` stands for any text,
        slashes too, and the dimension to cut, or None for a leaf that stays whole. The first line
        that fits a leaf counts; what none fits stays whole, as biases and norms do. A line of one's
        own goes in front: ``[("lm_head/kernel", 0), *TENSOR_PARALLEL]``.

    Returns:
      A NamedSharding for each leaf.

    Raises:
      ValueError: The mesh has no such axis, its size does not divide a dimension to be cut, a leaf
        lacks that dimension, or no line of the table cuts any leaf.

    References:
      Shoeybi et al., 2019, arXiv:1909.08053.

    Examples:
      >>> import jax
      >>> mesh = jax.make_mesh((1,), ("model",))
      >>> params = {"fc1": {"kernel": jax.ShapeDtypeStruct((16, 64), "float32")}}
      >>> tensor_parallel({"layer": params}, mesh)["layer"]["fc1"]["kernel"].spec
      P(None, 'model')
    """
    _size("tensor_parallel", mesh, axis)
    paths = slash_paths(params)
    cuts = [next((cut for glob, cut in table if _fits(glob, path)), None) for path in paths]
    if all(cut is None for cut in cuts):
        raise ValueError(
            f"tensor_parallel: table must cut at least one parameter; none of its lines does. The "
            f"first paths are {paths[:5]}. Give a table of this model's own paths."
        )
    specs = [_cut(cut, axis) for cut in cuts]
    return _layout("tensor_parallel", params, mesh, specs)


def fully_sharded(
    params: Any,
    mesh: Mesh,
    axis: str | tuple[str, ...] = "data",
    *,
    min_size: int = 2**16,
    given: Layout | None = None,
) -> Layout:
    """Cut each leaf along its largest dimension that the axis divides (FSDP, ZeRO).

    Each device keeps its part of the parameters and of the optimizer's state. Where the batch is
    sharded over the same axis, a forward pass gathers each weight when it comes to it.

    Args:
      params: Parameters, or their shapes; any tree.
      mesh: The devices.
      axis: The mesh's axis to cut over, or several, taken as one.
      min_size: Leaves of fewer elements stay as they are: a gather of its own costs more time than
        they cost memory.
      given: A layout to cut further, along dimensions that it leaves whole; of another axis.

    Returns:
      A NamedSharding for each leaf.

    Raises:
      ValueError: The mesh has no such axis, ``given`` uses it already, or a leaf of ``min_size``
        elements or more has no dimension that its size divides.

    References:
      Rajbhandari et al., 2020, arXiv:1910.02054. Zhao et al., 2023, arXiv:2304.11277.

    Examples:
      >>> import jax
      >>> mesh = jax.make_mesh((1,), ("data",))
      >>> leaf = jax.ShapeDtypeStruct((256, 1024), "float32")
      >>> fully_sharded({"kernel": leaf}, mesh)["kernel"].spec
      P(None, 'data')
    """
    count = _size("fully_sharded", mesh, axis)
    leaves = jax.tree.leaves(params)
    if given is None:
        before = [PartitionSpec()] * len(leaves)
    else:
        before = [sharding.spec for sharding in jax.tree.leaves(given)]
    specs: list[PartitionSpec] = []
    for path, leaf, spec in zip(slash_paths(params), leaves, before, strict=True):
        parts: list[Any] = [*spec, *[None] * (len(leaf.shape) - len(spec))]
        if math.prod(leaf.shape) >= min_size:
            free = [i for i, part in enumerate(parts) if part is None]
            divided = [i for i in free if leaf.shape[i] % count == 0]
            if not divided:
                raise ValueError(
                    f"fully_sharded: axis {axis!r} of size {count} must divide a dimension of "
                    f"every parameter of {min_size} elements or more, but {path} has the shape "
                    f"{tuple(leaf.shape)}"
                    f"{f', cut by {spec} already' if len(spec) else ''}. Take an axis of another "
                    f"size, or a larger min_size, which leaves it whole."
                )
            parts[max(divided, key=lambda i: leaf.shape[i])] = axis
        specs.append(_trimmed(parts))
    return _layout("fully_sharded", params, mesh, specs)


def by_pattern(params: Any, mesh: Mesh, table: Sequence[tuple[str, PartitionSpec]]) -> Layout:
    """A layout of one's own.

    Args:
      params: Parameters, or their shapes; any tree.
      mesh: The devices.
      table: Lines of a glob for a whole '/'-joined path, in which ``*`` stands for any text,
        slashes too, and the leaf's PartitionSpec. The first line that fits a leaf counts; what
        none fits stays whole.

    Returns:
      A NamedSharding for each leaf.

    Raises:
      ValueError: A line fits no parameter, its PartitionSpec is longer than a leaf has dimensions
        or names an axis that the mesh lacks, or an axis does not divide the dimension it cuts.

    Examples:
      >>> import jax
      >>> from jax.sharding import PartitionSpec as P
      >>> mesh = jax.make_mesh((1, 1), ("data", "model"))
      >>> params = {"up": jax.ShapeDtypeStruct((4, 8), "float32")}
      >>> by_pattern(params, mesh, [("up", P("data", "model"))])["up"].spec
      P('data', 'model')
    """
    paths = slash_paths(params)
    for glob, _ in table:
        if not any(_fits(glob, path) for path in paths):
            raise ValueError(
                f"by_pattern: no parameter matches {glob!r}. The first paths are {paths[:5]}."
            )
    specs = [
        next((spec for glob, spec in table if _fits(glob, path)), PartitionSpec()) for path in paths
    ]
    return _layout("by_pattern", params, mesh, specs)


def _fits(glob: str, path: str) -> bool:
    return fnmatch.fnmatchcase(path, glob)


def _cut(dimension: int | None, axis: str) -> PartitionSpec:
    return PartitionSpec() if dimension is None else PartitionSpec(*[None] * dimension, axis)


def _trimmed(parts: list[Any]) -> PartitionSpec:
    while parts and parts[-1] is None:
        parts.pop()
    return PartitionSpec(*parts)


def _size(where: str, mesh: Mesh, axis: str | tuple[str, ...]) -> int:
    """How many parts an axis of the mesh, or several, make."""
    names = (axis,) if isinstance(axis, str) else axis
    for name in names:
        if name not in mesh.shape:
            raise ValueError(
                f"{where}: axis must be one of the mesh's, {', '.join(mesh.axis_names)}, got "
                f"{name!r}."
            )
    return math.prod(mesh.shape[name] for name in names)


def _layout(where: str, params: Any, mesh: Mesh, specs: Sequence[PartitionSpec]) -> Layout:
    leaves, tree = jax.tree.flatten(params)
    for path, leaf, spec in zip(slash_paths(params), leaves, specs, strict=True):
        _check(where, path, tuple(leaf.shape), spec, mesh)
    if AxisType.Explicit in mesh.axis_types:
        # As JAX writes them there; to its caches of programs another spelling is another layout.
        specs = [
            PartitionSpec(*spec, *[None] * (len(leaf.shape) - len(spec)))
            for leaf, spec in zip(leaves, specs, strict=True)
        ]
    return jax.tree.unflatten(tree, [NamedSharding(mesh, spec) for spec in specs])


def _check(where: str, path: str, shape: tuple[int, ...], spec: PartitionSpec, mesh: Mesh) -> None:
    if len(spec) > len(shape):
        raise ValueError(
            f"{where}: {path} must have {len(spec)} dimensions or more to be cut by {spec}, got "
            f"the shape {shape}. Give its path another line in the table."
        )
    for dimension, part in enumerate(spec):
        if part is None:
            continue
        count = _size(where, mesh, part)
        if shape[dimension] % count:
            raise ValueError(
                f"{where}: axis {part!r} of size {count} must divide dimension {dimension} of "
                f"{path}, got the shape {shape}. Take an axis of another size, or give its path "
                f"another line in the table."
            )
