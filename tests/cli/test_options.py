"""Options are read from a dataclass, and its values are made of what was given."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from zojax.cli._options import Option, Positional, build, options_of

pytestmark = pytest.mark.quick


@dataclass(frozen=True)
class Inner:
    words: tuple[str, ...] | None = None
    """Words, which
    go on here."""
    bounds: tuple[float, float] = (0.0, 1.0)
    """Where it begins and ends."""


@dataclass(frozen=True)
class Outer:
    run: Positional[str]
    """A folder."""
    size: int | None = None
    """A size."""
    kind: Literal["a", "b"] | None = None
    """A kind."""
    name: str = field(default="x", metadata={"choices": ("x", "y"), "aliases": ("called",)})
    """A name."""
    flag: bool | None = None
    """A flag."""
    file: Path | None = None
    """A file."""
    inner: Inner = field(default_factory=Inner)
    """What is inside."""


OPTIONS = [
    Option("run", (), str, (), None, dataclasses.MISSING, "A folder.", True, ()),
    Option("size", (), int, (), None, None, "A size.", False, ()),
    Option("kind", (), str, ("a", "b"), None, None, "A kind.", False, ()),
    Option("name", (), str, ("x", "y"), None, "x", "A name.", False, ("called",)),
    Option("flag", (), bool, (), None, None, "A flag.", False, ()),
    Option("file", (), Path, (), None, None, "A file.", False, ()),
    Option("words", ("inner",), str, (), 0, None, "Words, which go on here.", False, ()),
    Option(
        "bounds", ("inner",), float, (), 2, (0.0, 1.0), "Where it begins and ends.", False, ()
    ),
]  # fmt: skip


def test_an_attribute_and_the_string_below_it_are_an_option():
    assert options_of(Outer) == OPTIONS


def test_an_option_is_named_with_dashes_and_a_positional_one_as_it_is():
    assert OPTIONS[0].flag == "run"
    assert OPTIONS[1]._replace(name="batch_size").flag == "--batch-size"


def test_what_was_not_given_keeps_its_default():
    values: dict[tuple[str, ...], Any] = {("run",): "r", ("inner", "words"): ("a", "b")}
    assert build(Outer, values) == Outer("r", inner=Inner(words=("a", "b")))


def test_a_type_that_no_option_has_is_refused():
    @dataclass
    class Wrong:
        table: dict[str, int]

    # The class is local, so its annotations are given as types.
    Wrong.__annotations__["table"] = dict[str, int]
    with pytest.raises(TypeError, match="no option has type dict"):
        options_of(Wrong)
