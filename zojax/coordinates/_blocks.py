"""The blocks of a model, found from the paths of its parameters."""

import math
import re
from collections.abc import Callable, Hashable
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from zojax.coordinates._paths import shapes, slash_paths
from zojax.coordinates._roles import role

Blocks: TypeAlias = Literal["layers"] | Callable[[str, Any], Hashable]
"""``"layers"``, or ``blocks(path, leaf)``, which gives the label of a leaf's block."""

NUMBERED = re.compile(r"(.*?)(\d+)")


class Block(NamedTuple):
    """A part of the parameters."""

    name: str
    leaves: list[int]  # positions in tree order


class Stack(NamedTuple):
    """Parameters whose paths begin alike, up to a number."""

    prefix: str  # such as "decoder/layers/"
    numbers: set[int]
    size: int  # scalars
    leaves: int

    def holds(self, path: str) -> bool:
        """Whether a path, or the prefix of another stack, is inside of one of its members."""
        return path.startswith(self.prefix) and path[len(self.prefix) :][:1].isdigit()


def check_blocks(where: str, blocks: Any) -> None:
    """Refuses a ``blocks`` of another type.

    Raises:
      TypeError: ``blocks`` is neither ``"layers"`` nor a function.
    """
    if not callable(blocks) and not (isinstance(blocks, str) and blocks == "layers"):
        raise TypeError(f'{where}: blocks must be "layers" or a function, got {blocks!r}.')


def find_blocks(
    where: str,
    params: Any,
    blocks: Blocks,
    fix: str = "Give blocks, a function of path and leaf.",
) -> list[Block]:
    """The blocks of ``params``, from input to output.

    Args:
      where: Name of the caller, for messages.
      params: Parameters; only paths, shapes and dtypes are read.
      blocks: A function of path and leaf, which has a shape and a dtype and no values. Its labels
        make the blocks: in their order where they are integers, otherwise in that in which they
        first appear. Or ``"layers"``: one block for the embeddings, one for each layer, and one
        for the rest (final norm and head).
      fix: What to do where no layers are found, for messages.

    Raises:
      TypeError: ``blocks`` is neither.
      ValueError: ``"layers"``, and which parameters are the layers, or come before or after them,
        is not plain from the paths, or the layers are stacked.
    """
    check_blocks(where, blocks)
    if not callable(blocks):
        return _layers(where, params, fix)
    found: dict[Hashable, list[int]] = {}
    for leaf, (path, value) in enumerate(zip(slash_paths(params), shapes(params), strict=True)):
        found.setdefault(blocks(path, value), []).append(leaf)
    labels = list(found)
    if all(isinstance(x, int | np.integer) and not isinstance(x, bool) for x in labels):
        labels.sort()  # pyright: ignore[reportCallIssue] - integers
    return [Block(str(label), found[label]) for label in labels]


def _layers(where: str, params: Any, fix: str) -> list[Block]:
    paths = slash_paths(params)
    stack = _stack(where, params, paths, fix)
    # Names that the layers have too, such as "model" or "classifier", are of the whole model.
    parents = stack.prefix.split("/")[:-1]
    layers: dict[int, list[int]] = {}
    around: dict[str | None, list[int]] = {"before": [], "after": [], None: []}
    for leaf, path in enumerate(paths):
        number = dict(_numbered(path)).get(stack.prefix)
        if number is not None:
            layers.setdefault(number, []).append(leaf)
        else:
            around[role(_beyond(parents, path.split("/")))].append(leaf)
    if around[None]:
        unknown = [paths[leaf] for leaf in around[None]]
        raise ValueError(
            f"{where}: the parameters outside of the layers {stack.prefix}* must have names that "
            f"put them before or after, such as embed or head, got {unknown[:5]}. {fix}"
        )
    blocks = [Block("embeddings", around["before"])]
    blocks += [Block(f"{stack.prefix}{number}", layers[number]) for number in sorted(layers)]
    blocks.append(Block("head", around["after"]))
    return [block for block in blocks if block.leaves]


def _beyond(parents: list[str], names: list[str]) -> list[str]:
    """The names of a path after its common prefix with the layers."""
    shared = 0
    while shared < min(len(parents), len(names)) and parents[shared] == names[shared]:
        shared += 1
    return names[shared:]


def _stack(where: str, params: Any, paths: list[str], fix: str) -> Stack:
    """The numbered parameters that are the layers: the only ones that could be."""
    found = _stacks(params, paths)
    # One number around everything is a wrapper, such as a list of one tree.
    found = [s for s in found if len(s.numbers) > 1 or s.leaves < len(paths)]
    # An embedding or a head is known by its name, numbered or not, unless all have such names.
    found = [s for s in found if role(f"{s.prefix}0".split("/")) is None] or found
    outermost = [s for s in found if not any(other.holds(s.prefix) for other in found)]
    if not outermost:
        stacked = next((path for path in paths if "layers" in path.split("/")), None)
        if stacked is not None:
            raise ValueError(
                f"{where}: each layer must have parameters of its own, got {stacked}, which has "
                "those of all layers, stacked. Load the model with "
                "zojax.lm.models.load(..., scan_layers=False), or unstack the layers."
            )
        raise ValueError(
            f"{where}: no parameter's path has a numbered layer. The first paths are {paths[:5]}. "
            f"{fix}"
        )
    several = [s for s in outermost if len(s.numbers) > 1]
    # A single one among several stacks is a parameter outside of the layers.
    chosen = max(several or outermost, key=lambda s: s.size)
    rivals = several if len(several) > 1 else _lists_inside(chosen, found)
    if rivals:
        names = sorted({f"{s.prefix}* ({len(s.numbers)})" for s in (chosen, *rivals)})
        raise ValueError(
            f"{where}: the layers must be one stack of numbered parameters, got {names[:5]}. {fix}"
        )
    return chosen


def _lists_inside(stack: Stack, found: list[Stack]) -> list[Stack]:
    """Lists within the members of a stack, where they could as well be the layers.

    That is so within a single member, and within one of the entries of a tuple of unlike parts,
    such as (embedding, layers, head).
    """
    inside = [
        s for s in found if stack.holds(s.prefix) and s.prefix[-1:] == "/" and len(s.numbers) > 1
    ]
    members = {dict(_numbered(s.prefix + "0"))[stack.prefix] for s in inside}
    unlike = stack.prefix == "" and members != stack.numbers
    return inside if len(stack.numbers) == 1 or unlike else []


def _stacks(params: Any, paths: list[str]) -> list[Stack]:
    stacks: dict[str, Stack] = {}
    for path, leaf in zip(paths, shapes(params), strict=True):
        for prefix, number in _numbered(path):
            _, numbers, size, leaves = stacks.get(prefix, Stack(prefix, set(), 0, 0))
            stacks[prefix] = Stack(
                prefix, numbers | {number}, size + math.prod(leaf.shape), leaves + 1
            )
    return list(stacks.values())


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
