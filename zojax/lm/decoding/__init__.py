"""Text generation by causal models: decoding, and objectives of the generated text."""

from zojax.lm.decoding._greedy import greedy as greedy
from zojax.lm.decoding._loop import row_keys as row_keys
from zojax.lm.decoding._sample import sample as sample
from zojax.lm.decoding._text import stop_tokens as stop_tokens
from zojax.lm.decoding._text import texts as texts
from zojax.lm.decoding._text_objective import text_objective as text_objective

__all__ = ["greedy", "row_keys", "sample", "stop_tokens", "text_objective", "texts"]
