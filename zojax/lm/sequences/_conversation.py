"""Where the answers are in a conversation's text."""

from __future__ import annotations

from zojax.lm.sequences._chat_template import ChatError, ChatTemplate, Messages
from zojax.lm.sequences._segments import Segment, Segments

ASSISTANT = "assistant"


def segments_of(messages: Messages, template: ChatTemplate) -> Segments:
    """Write a conversation as a text, and find the assistant's turns in it.

    A turn begins where the text of the messages before it ends with the template's generation
    prompt, as it does when the model answers, and ends where the text of the messages up to it
    ends. It has its end-of-turn token, and not the white space that some templates write after that
    token, which a model that stops there never writes.

    Args:
      messages: The conversation, with an answer at least.
      template: The tokenizer's.

    Returns:
      The text up to the end of the last answer.

    Raises:
      ChatError: The template refuses the conversation, or writes a part of it in another way once
        more messages follow, so that no place in the text is the answer's.
    """
    whole = template.render(messages)
    segments: list[Segment] = []
    done = 0
    for place, message in enumerate(messages):
        if message["role"] != ASSISTANT:
            continue
        before = template.render(messages[:place], add_generation_prompt=True)
        until = template.render(messages[: place + 1])
        stable = whole.startswith(until) and until.startswith(before)
        if not stable or not done <= len(before) < len(until):
            raise ChatError(
                f"the chat template writes message {place}, an answer, in another way when it "
                "writes the messages before it or up to it alone, so that the answer cannot be "
                "found in the text; give a row for each answer, with the messages up to it"
            )
        answer = _turn(until[len(before) :], template.end_of_turn)
        segments += [Segment(whole[done : len(before)], learnt=False), Segment(answer, learnt=True)]
        done = len(before) + len(answer)
    return tuple(segment for segment in segments if segment.text)


def _turn(answer: str, end_of_turn: str) -> str:
    """An answer without the white space after its end-of-turn token."""
    ended = answer.rstrip()
    return ended if end_of_turn and ended.endswith(end_of_turn) else answer
