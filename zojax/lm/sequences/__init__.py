"""Rows of tokens of which some are learnt: chats, prompts with completions, and plain text."""

from zojax.lm.sequences._answers import answer_stops as answer_stops
from zojax.lm.sequences._answers import answer_text as answer_text
from zojax.lm.sequences._chat_template import ChatError as ChatError
from zojax.lm.sequences._chat_template import ChatTemplate as ChatTemplate
from zojax.lm.sequences._chat_template import Messages as Messages
from zojax.lm.sequences._chat_template import read_chat_template as read_chat_template
from zojax.lm.sequences._conversation import ASSISTANT as ASSISTANT
from zojax.lm.sequences._conversation import segments_of as segments_of
from zojax.lm.sequences._kind import kind_of as kind_of
from zojax.lm.sequences._next_token import NextToken as NextToken
from zojax.lm.sequences._next_token import TokenTotals as TokenTotals
from zojax.lm.sequences._read import Read as Read
from zojax.lm.sequences._read import messages_in as messages_in
from zojax.lm.sequences._read import read_sequences as read_sequences
from zojax.lm.sequences._segments import Columns as Columns
from zojax.lm.sequences._segments import Segment as Segment
from zojax.lm.sequences._segments import Segments as Segments
from zojax.lm.sequences._segments import SequenceKind as SequenceKind
from zojax.lm.sequences._sequence_set import SequenceSet as SequenceSet
from zojax.lm.sequences._tokens import SequenceTokens as SequenceTokens
from zojax.lm.sequences._tokens import TokenText as TokenText
from zojax.lm.sequences._tokens import sequence_tokens as sequence_tokens

__all__ = [
    "ChatTemplate",
    "Columns",
    "NextToken",
    "Segment",
    "SequenceSet",
    "SequenceTokens",
    "TokenText",
    "TokenTotals",
    "answer_stops",
    "answer_text",
    "kind_of",
    "read_chat_template",
    "read_sequences",
    "segments_of",
    "sequence_tokens",
]
