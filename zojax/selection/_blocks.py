"""The blocks of a model, found from the paths of its parameters."""

import math
import re
from collections.abc import Callable, Hashable
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from zojax.selection._paths import slash_paths

Blocks: TypeAlias = Literal["layers"] | Callable[[str, Any], Hashable]
"""``"layers"``, or ``blocks(path, leaf)``, which gives the label of a leaf's block."""

NUMBERED = re.compile(r"(.*?)(\d+)")
# Names of what comes before the layers; anything else outside of them is taken to come after.
EMBEDDING = re.compile(r"embed|wte|wpe|project_in", re.IGNORECASE)


class Block(NamedTuple):
    """A part of the parameters."""

    name: str
    leaves: list[int]  # positions in tree order


def find_blocks(where: str, params: Any, blocks: Blocks) -> list[Block]:
    """The blocks of ``params``, from input to output.

    Args:
      where: Name of the caller, for messages.
      params: Parameters; only paths and shapes are read.
      blocks: A function of path and leaf, whose labels make the blocks in the order in which they
        first appear, or ``"layers"``: one block for the embeddings, one for each layer, and one
        for the rest (final norm and head).

    Raises:
      TypeError: ``blocks`` is neither.
      ValueError: ``"layers"``, and no part of any path is numbered.
    """
    if blocks == "layers":
        return _layers(where, params)
    if not callable(blocks):
        raise TypeError(f'{where}: blocks must be "layers" or a function, got {blocks!r}.')
    found: dict[Hashable, list[int]] = {}
    for leaf, (path, value) in enumerate(
        zip(slash_paths(params), jax.tree.leaves(params), strict=True)
    ):
        found.setdefault(blocks(path, value), []).append(leaf)
    return [Block(str(label), leaves) for label, leaves in found.items()]


def _layers(where: str, params: Any) -> list[Block]:
    paths = slash_paths(params)
    stack = _stack(where, params, paths)
    layers: dict[int, list[int]] = {}
    before: list[int] = []
    after: list[int] = []
    for leaf, path in enumerate(paths):
        number = dict(_numbered(path)).get(stack)
        if number is not None:
            layers.setdefault(number, []).append(leaf)
        else:
            (before if EMBEDDING.search(path) else after).append(leaf)
    blocks = [Block("embeddings", before)]
    blocks += [Block(f"{stack}{number}", layers[number]) for number in sorted(layers)]
    blocks.append(Block("head", after))
    return [block for block in blocks if block.leaves]


def _stack(where: str, params: Any, paths: list[str]) -> str:
    """What the paths of all layers begin with: of all that is numbered, what holds most."""
    sizes: dict[str, int] = {}
    numbers: dict[str, set[int]] = {}
    members: dict[str, int] = {}
    for path, leaf in zip(paths, jax.tree.leaves(params), strict=True):
        for stack, number in _numbered(path):
            sizes[stack] = sizes.get(stack, 0) + math.prod(jnp.shape(leaf))
            numbers.setdefault(stack, set()).add(number)
            members[stack] = members.get(stack, 0) + 1
    # One number around everything is a wrapper, such as a list of one tree.
    stacks = [s for s in sizes if len(numbers[s]) > 1 or members[s] < len(paths)]
    if not stacks:
        raise ValueError(
            f"{where}: no parameter's path has a numbered layer. The first paths are {paths[:5]}. "
            f"Give blocks, a function of path and leaf."
        )
    return max(stacks, key=lambda s: (sizes[s], -s.count("/")))


def _numbered(path: str) -> list[tuple[str, int]]:
    """Each numbered name on a path: what comes before the number, and the number."""
    found: list[tuple[str, int]] = []
    parent = ""
    for name in path.split("/"):
        match = NUMBERED.fullmatch(name)
        if match:
            found.append((parent + match[1], int(match[2])))
        parent += name + "/"
    return found
