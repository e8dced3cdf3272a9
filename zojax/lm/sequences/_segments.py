"""What a row of chats, instructions or plain text becomes: text, of which some parts are learnt."""

from __future__ import annotations

from typing import Literal, NamedTuple

SequenceKind = Literal["instruction", "chat", "text"]


class Segment(NamedTuple):
    """A part of a row's text."""

    text: str
    learnt: bool  # whether the loss is on its tokens


Segments = tuple[Segment, ...]
"""The text of a row, in its order."""


class Columns(NamedTuple):
    """The columns of the user's files."""

    prompt: str = "prompt"
    completion: str = "completion"
    messages: str = "messages"
    text: str = "text"
    label: str = "label"
