"""Templates: text with fields in braces, and ``{label}`` where the label word goes."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Literal, NamedTuple

LABEL = "label"


class Chunk(NamedTuple):
    """A part of a prompt that is tokenised by itself."""

    kind: Literal["text", "cut", "label"]  # "cut": what may lose its end
    text: str


def fields_of(template: str) -> list[str]:
    """Return the names in braces, in their order, repeated ones too.

    Raises:
      ValueError: A brace is left open, or there is more than a name in a pair of them.
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
    """Return the template without its words: the fields, a space between them, then the label.

    One that has no words stays as it is.
    """
    if not any(literal.strip() for literal, *_ in string.Formatter().parse(template)):
        return template
    names = [name for name in dict.fromkeys(fields_of(template)) if name != LABEL]
    return " ".join(f"{{{name}}}" for name in [*names, LABEL])


def render(template: str, values: Mapping[str, str], cut: str | None) -> list[Chunk]:
    """Fill a template in.

    Tokenizers join a space with the word after it, so spaces between two chunks go to the second:
    the chunk of the label is the space before the label word, or empty.

    Args:
      template: Its fields are ``label`` and the names in ``values``.
      values: Their texts; white space around them is left out.
      cut: The field that becomes a chunk of its own.
    """
    chunks: list[Chunk] = []
    for literal, name, _, _ in string.Formatter().parse(template):
        inline = literal if name in (None, LABEL, cut) else literal + values[name].strip()
        if chunks and chunks[-1].kind == "text":
            inline = chunks.pop().text + inline
        chunks.append(Chunk("text", inline))
        if name == LABEL:
            chunks.append(Chunk("label", ""))
        elif name == cut and name is not None:
            chunks.append(Chunk("cut", values[name].strip()))
    space = ""
    placed: list[Chunk] = []
    for kind, plain in chunks:
        text = space + plain
        kept = text if kind == "label" else text.rstrip(" ")
        placed.append(Chunk(kind, kept))
        space = text[len(kept) :]
    return placed
