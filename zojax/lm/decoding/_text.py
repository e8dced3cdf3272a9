"""Stop tokens, and the texts of generated tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from jax import Array

if TYPE_CHECKING:
    from zojax.lm.models import AnyTokenizer

# The line break in a vocabulary: plain, in byte-level encoding, or as a byte token of
# SentencePiece.
_LINE_BREAKS = ("\n", "Ċ", "<0x0A>")


def stop_tokens(tokenizer: AnyTokenizer) -> np.ndarray:
    """Return the tokens that end an answer: all with a line break, and the end of sequence.

    Args:
      tokenizer: The model's tokenizer.

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


def texts(tokenizer: AnyTokenizer, tokens: Array | np.ndarray) -> list[str]:
    """Return the generated texts: each row's text up to its first line break.

    Args:
      tokenizer: The tokenizer of the model that generated the tokens.
      tokens: int32 [B, N], as :func:`greedy` returns them: -1 after the last token of a row.

    Returns:
      B texts without special tokens, and without white space at the beginning and the end.
    """
    rows = np.asarray(tokens)
    return [_decoded(tokenizer, row[row >= 0].tolist()).partition("\n")[0].strip() for row in rows]


def _decoded(tokenizer: AnyTokenizer, ids: list[int]) -> str:
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
