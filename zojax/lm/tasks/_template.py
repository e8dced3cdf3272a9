"""Templates: text with fields in braces, and ``{label}`` in the place of the label word."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Literal, NamedTuple

LABEL = "label"


class Chunk(NamedTuple):
    """A part of a prompt that is tokenised separately."""

    kind: Literal["text", "truncate", "label"]  # "truncate": the field that may be truncated
    text: str


def fields_of(template: str) -> list[str]:
    """Return the names in braces in their order, with repetitions.

    Raises:
      ValueError: A brace is not closed, or a pair of braces contains more than a name.
    """
    names: list[str] = []
    for _, name, spec, conversion in string.Formatter().parse(template):
        if name is None:
            continue
        if not name.isidentifier() or spec or conversion:
            raise ValueError(f"a field must be a name in braces, got {{{name}{spec or ''}}}")
        names.append(name)
    return names


def bare(template: str) -> str:
    """Return the template without its words: the fields and then the label, separated by spaces.

    A template without words is returned unchanged.
    """
    if not any(literal.strip() for literal, *_ in string.Formatter().parse(template)):
        return template
    names = [name for name in dict.fromkeys(fields_of(template)) if name != LABEL]
    return " ".join(f"{{{name}}}" for name in [*names, LABEL])


def render(template: str, values: Mapping[str, str], truncate: str | None) -> list[Chunk]:
    """Fill in a template.

    Tokenizers join a space with the word after it, so spaces between two chunks belong to the
    second. The label's chunk is the space before the label word, or empty.

    Args:
      template: A template whose fields are ``label`` and the names in ``values``.
      values: The texts of the fields; white space around them is removed.
      truncate: The field that becomes a separate chunk, so that it can be truncated.
    """
    chunks: list[Chunk] = []
    for literal, name, _, _ in string.Formatter().parse(template):
        inline = literal if name in (None, LABEL, truncate) else literal + values[name].strip()
        if chunks and chunks[-1].kind == "text":
            inline = chunks.pop().text + inline
        chunks.append(Chunk("text", inline))
        if name == LABEL:
            chunks.append(Chunk("label", ""))
        elif name == truncate and name is not None:
            chunks.append(Chunk("truncate", values[name].strip()))
    space = ""
    placed: list[Chunk] = []
    for kind, plain in chunks:
        text = space + plain
        kept = text if kind == "label" else text.rstrip(" ")
        placed.append(Chunk(kind, kept))
        space = text[len(kept) :]
    return placed
