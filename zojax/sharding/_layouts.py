"""Layouts for tensor parallelism, for full sharding, and by patterns of paths."""

from __future__ import annotations

import fnmatch
import itertools
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from zojax.coordinates import slash_paths
from zojax.sharding._table import TENSOR_PARALLEL, Dimension, Table

Layout: TypeAlias = Any
"""A tree of ``jax.sharding.NamedSharding`` with the structure of the parameters."""


def tensor_parallel(
    params: Any, mesh: Mesh, axis: str = "model", *, table: Table = TENSOR_PARALLEL
) -> Layout:
    """Shard each large matrix once, so that a layer needs two all-reduces (Megatron).

    Args:
      params: Parameters, or their shapes, of a model of :func:`zojax.lm.models.load`, with stacked
        layers or without. The parameters of an adapter are replicated.
      mesh: The devices.
      axis: The mesh's axis to shard over. Its size should divide the number of attention heads, and
        of heads of keys and values; otherwise the forward pass moves parts of heads between
        devices.
      table: Pairs of a glob and the dimension to shard, or None to replicate the leaf. Negative
        dimensions count from the last, so that one line serves a matrix and a stack of them. Of a
        tuple of dimensions, the first one that the axis divides is sharded. A glob must match the
        full '/'-joined path of a leaf; ``*`` matches any text, including slashes. The first line
        that matches a leaf is used. Leaves that no line matches, such as norms, are replicated.
        Put your own lines first: ``[("lm_head/kernel", 0), *TENSOR_PARALLEL]``.

    Returns:
      A NamedSharding for each leaf.

    Raises:
      ValueError: The mesh has no such axis, its size does not divide a dimension to shard, a leaf
        does not have that dimension, or no line of the table shards any leaf.

    References:
      Shoeybi et al., 2019, arXiv:1909.08053.

    Examples:
      >>> import jax
      >>> mesh = jax.make_mesh((1,), ("model",))
      >>> params = {"fc1": {"kernel": jax.ShapeDtypeStruct((16, 64), "float32")}}
      >>> tensor_parallel({"layer": params}, mesh)["layer"]["fc1"]["kernel"].spec
      P(None, 'model')
    """
    count, paths = _size("tensor_parallel", mesh, axis), slash_paths(params)
    lines = [next((dim for glob, dim in table if _matches(glob, path)), None) for path in paths]
    if all(line is None for line in lines):
        raise ValueError(
            f"tensor_parallel: table must shard at least one parameter, but no line does. The "
            f"first paths are {paths[:5]}. Give a table of this model's own paths."
        )
    specs = [
        _spec_along(path, tuple(leaf.shape), line, axis, count)
        for path, leaf, line in zip(paths, jax.tree.leaves(params), lines, strict=True)
    ]
    return _layout("tensor_parallel", params, mesh, specs)


def fully_sharded(
    params: Any,
    mesh: Mesh,
    axis: str | tuple[str, ...] = "data",
    *,
    min_size: int = 2**16,
    given: Layout | None = None,
) -> Layout:
    """Shard each leaf along the largest dimension that the axis divides (FSDP, ZeRO).

    Each device stores its shards of the parameters and of the optimizer's state. If the batch is
    sharded over the same axis, the forward pass gathers each weight just before it is used. The
    layers of a stack, a leaf of ``layers/*`` without a number, are not divided between devices: a
    scan over them would gather all layers in order to take one.

    Args:
      params: Parameters, or their shapes; any tree.
      mesh: The devices.
      axis: The mesh's axis to shard over, or a tuple of axes, which are used as one.
      min_size: Leaves with fewer elements, or with fewer in each layer of a stack, are not sharded:
        gathering them would take more time than the memory that sharding them saves is worth.
      given: A layout over other axes to shard further, along dimensions that it does not shard.

    Returns:
      A NamedSharding for each leaf.

    Raises:
      ValueError: The mesh has no such axis, ``given`` uses it already, or the axis divides no
        dimension of a leaf of ``min_size`` or more elements, the number of stacked layers aside.

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
        first = 1 if _is_stack(path) else 0
        if math.prod(leaf.shape[first:]) >= min_size:
            free = [i for i in range(first, len(parts)) if parts[i] is None]
            divided = [i for i in free if leaf.shape[i] % count == 0]
            if not divided:
                raise ValueError(
                    f"fully_sharded: axis {axis!r} of size {count} must divide a dimension of "
                    f"every parameter of {min_size} elements or more, but {path} has the shape "
                    f"{tuple(leaf.shape)}"
                    f"{f', sharded by {spec} already' if len(spec) else ''}. Take an axis of "
                    f"another size, or a larger min_size, so that the parameter is not sharded."
                )
            parts[max(divided, key=lambda i: leaf.shape[i])] = axis
        specs.append(_trimmed(parts))
    return _layout("fully_sharded", params, mesh, specs)


def by_pattern(params: Any, mesh: Mesh, table: Sequence[tuple[str, PartitionSpec]]) -> Layout:
    """Choose the sharding of each leaf by its path.

    Args:
      params: Parameters, or their shapes; any tree.
      mesh: The devices.
      table: Pairs of a glob and a PartitionSpec. A glob must match the full '/'-joined path of a
        leaf; ``*`` matches any text, including slashes. The first line that matches a leaf is used.
        Leaves that no line matches are replicated.

    Returns:
      A NamedSharding for each leaf.

    Raises:
      ValueError: A line matches no parameter, its PartitionSpec is longer than the number of a
        leaf's dimensions or names an axis that the mesh does not have, or the size of an axis does
        not divide the dimension that it shards.

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
        if not any(_matches(glob, path) for path in paths):
            raise ValueError(
                f"by_pattern: no parameter matches {glob!r}. The first paths are {paths[:5]}."
            )
    specs = [
        next((spec for glob, spec in table if _matches(glob, path)), PartitionSpec())
        for path in paths
    ]
    return _layout("by_pattern", params, mesh, specs)


def _is_stack(path: str) -> bool:
    """Whether a leaf has all layers, along its first dimension: its path names none of them."""
    names = path.split("/")
    return any(
        name == "layers" and not after.isdecimal() for name, after in itertools.pairwise(names)
    )


def _matches(glob: str, path: str) -> bool:
    return fnmatch.fnmatchcase(path, glob)


def _spec_along(
    path: str,
    shape: tuple[int, ...],
    line: Dimension | tuple[Dimension, ...],
    axis: str,
    count: int,
) -> PartitionSpec:
    """The sharding of a leaf by its line of the table, along one axis of ``count`` devices."""
    choices = line if isinstance(line, tuple) else (line,)
    for choice in choices:
        if choice is None:
            return PartitionSpec()
        if not -len(shape) <= choice < len(shape):
            raise ValueError(
                f"tensor_parallel: {path} must have dimension {choice} to be sharded along it, got "
                f"the shape {shape}. Give its path another line in the table."
            )
        if shape[choice] % count == 0 or choice == choices[-1]:
            return PartitionSpec(*[None] * (choice % len(shape)), axis)
    return PartitionSpec()


def _trimmed(parts: list[Any]) -> PartitionSpec:
    while parts and parts[-1] is None:
        parts.pop()
    return PartitionSpec(*parts)


def _size(where: str, mesh: Mesh, axis: str | tuple[str, ...]) -> int:
    """The number of shards along an axis of the mesh, or along several."""
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
        # With explicit axes, JAX itself writes specs as long as the array has dimensions. Its
        # caches of compiled programs would take a shorter, equivalent spec for another layout.
        specs = [
            PartitionSpec(*spec, *[None] * (len(leaf.shape) - len(spec)))
            for leaf, spec in zip(leaves, specs, strict=True)
        ]
    return jax.tree.unflatten(tree, [NamedSharding(mesh, spec) for spec in specs])


def _check(where: str, path: str, shape: tuple[int, ...], spec: PartitionSpec, mesh: Mesh) -> None:
    if len(spec) > len(shape):
        raise ValueError(
            f"{where}: {path} must have at least {len(spec)} dimensions to be sharded by {spec}, "
            f"got the shape {shape}. Give its path another line in the table."
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
