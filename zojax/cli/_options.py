"""The options of a command, read from its dataclass: each attribute and the string below it."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin
from typing import get_type_hints as type_hints

_T = TypeVar("_T")
_IN_PLACE = "positional"

Positional = Annotated[_T, _IN_PLACE]
"""``run: Positional[str]`` is given by its place on the command line, without a name."""


class Option(NamedTuple):
    """One attribute of a command's dataclass."""

    name: str  # the attribute's
    group: tuple[str, ...]  # attributes that lead to the dataclass that has it
    kind: type  # of one value: str, int, float, bool or Path
    choices: tuple[str, ...]  # the values that it takes, from a Literal or the field's metadata;
    # of a number, the words that it takes, too
    number: int | None  # of its values; 0 for one or more; None for a single one that is no tuple
    default: Any  # dataclasses.MISSING for one that must be given
    help: str
    positional: bool
    aliases: tuple[str, ...]  # other names, as field(metadata={"aliases": ...}) gives them

    @property
    def flag(self) -> str:
        """How it is given: ``--learning-rate``; of a positional one, its name."""
        return self.name if self.positional else f"--{self.name.replace('_', '-')}"


def options_of(kind: type, group: tuple[str, ...] = ()) -> list[Option]:
    """The options of a dataclass and of the dataclasses inside it, in their order."""
    hints, texts = type_hints(kind, include_extras=True), _texts(kind)
    found: list[Option] = []
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            found += options_of(hint, (*group, field.name))  # pyright: ignore[reportArgumentType]
            continue
        positional = get_origin(hint) is Annotated and _IN_PLACE in get_args(hint)[1:]
        value, choices, count = _value(get_args(hint)[0] if positional else hint)
        choices = field.metadata.get("choices", choices)
        found.append(
            Option(
                name=field.name,
                group=group,
                kind=value,
                choices=choices,
                number=count,
                default=field.default,
                help=texts.get(field.name, ""),
                positional=positional,
                aliases=field.metadata.get("aliases", ()),
            )
        )
    return found


def build(kind: Any, values: dict[tuple[str, ...], Any], group: tuple[str, ...] = ()) -> Any:
    """Make a dataclass of the values that were given; the others keep their defaults.

    Args:
      kind: The dataclass.
      values: Values by path: the attributes that lead to one, and its own.
      group: The attributes that lead to ``kind``.
    """
    hints = type_hints(kind)
    given: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        path = (*group, field.name)
        if dataclasses.is_dataclass(hints[field.name]):
            given[field.name] = build(hints[field.name], values, path)
        elif path in values:
            given[field.name] = values[path]
    return kind(**given)


def _value(hint: Any) -> tuple[type, tuple[str, ...], int | None]:
    """The type of one value, its choices, and how many values there are."""
    if get_origin(hint) in (Union, UnionType):  # X | None: None is the option left out
        hint, *others = (each for each in get_args(hint) if each is not NoneType)
        if others:  # words of two kinds, or a number or one of some words
            kind, words, _ = _value(hint)
            return kind, (*words, *(word for other in others for word in get_args(other))), None
    if get_origin(hint) is Literal:
        return str, get_args(hint), None
    if get_origin(hint) is tuple:
        each = get_args(hint)
        many = each[-1] is Ellipsis
        value, choices, _ = _value(each[0])
        return value, choices, 0 if many else len(each)
    if hint not in (str, int, float, bool, Path):
        raise TypeError(f"options_of: no option has type {hint}.")
    return hint, (), None


def _texts(kind: type) -> dict[str, str]:
    """The string below each attribute, as one paragraph."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    return {
        one.target.id: " ".join(below.value.value.split())
        for one, below in itertools.pairwise(body)
        if isinstance(one, ast.AnnAssign)
        and isinstance(one.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }
