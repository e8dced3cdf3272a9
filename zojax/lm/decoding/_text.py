"""Between tokens and text: where writing ends, and what was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from jax import Array

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# How a vocabulary writes the line break: as it is, byte-level, or as a byte of SentencePiece.
_LINE_BREAKS = ("\n", "Ċ", "<0x0A>")


def stop_tokens(tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """Return the tokens that end an answer: those with a line break, and the end of sequence.

    Args:
      tokenizer: transformers' tokenizer.

    Returns:
      int32 [S], ascending.
    """
    like_breaks = [
        token
        for name, token in tokenizer.get_vocab().items()
        if any(line_break in name for line_break in _LINE_BREAKS)
    ]
    stops = {token for token in like_breaks if "\n" in _decoded(tokenizer, [token])}
    end = cast("int | None", tokenizer.eos_token_id)
    return np.array(sorted(stops if end is None else stops | {end}), np.int32)


def texts(tokenizer: PreTrainedTokenizerBase, tokens: Array | np.ndarray) -> list[str]:
    """Return what was written: each row's text up to its first line break.

    Args:
      tokenizer: transformers' tokenizer, of the model that wrote.
      tokens: int32 [B, N], as :func:`greedy` returns them: -1 behind the last token of a row.

    Returns:
      B texts without special tokens, and without white space at either end.
    """
    rows = np.asarray(tokens)
    return [_decoded(tokenizer, row[row >= 0].tolist()).partition("\n")[0].strip() for row in rows]


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
