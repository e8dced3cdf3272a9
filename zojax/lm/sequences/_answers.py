"""What a model writes after a prompt: where it ends, and its text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zojax.lm.sequences._tokens import SequenceTokens

if TYPE_CHECKING:
    from zojax.lm.models import AnyTokenizer


def answer_stops(tokenizer: AnyTokenizer, tokens: SequenceTokens) -> np.ndarray:
    """The tokens that end an answer: the end of sequence, and the template's end of turn.

    Returns:
      int32 [S], ascending.
    """
    turn = tokens.template.end_of_turn if tokens.template else ""
    found = (tokenizer.eos_token_id, tokens.token_of(turn) if turn else None)
    return np.array(sorted({int(token) for token in found if token is not None}), np.int32)


def answer_text(tokenizer: AnyTokenizer, tokens: SequenceTokens, written: np.ndarray) -> str:
    """The text of an answer.

    Args:
      tokenizer: The model's.
      tokens: How the run's texts become tokens.
      written: int32 [N]: what a model has written, -1 after its end.

    Returns:
      A turn or a completion, without white space around it; what follows a plain text as it is.
    """
    ids = written[written >= 0].tolist()
    text = str(tokenizer.decode(ids, skip_special_tokens=True))
    if tokens.kind == "text":
        return text  # goes on where the prompt ends
    end = tokens.template.end_of_turn if tokens.template else ""
    return (text.partition(end)[0] if end else text).strip()
