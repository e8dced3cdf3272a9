"""Prompts in a model's tokens: the rows that a model reads, and the tokens that it predicts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from zojax.lm.tasks._checks import check_examples, check_ids
from zojax.lm.tasks._example import Example
from zojax.lm.tasks._pieces import Pieces
from zojax.lm.tasks._task import ModelKind, Task
from zojax.lm.tasks._template import Chunk, render

Ids = list[int]


class TokenRow(NamedTuple):
    """One row of a model's input: an example with one candidate in the label's place."""

    ids: Ids  # the input tokens
    positions: Ids  # the positions whose outputs predict the candidate's tokens
    targets: Ids  # the candidate's tokens
    cut: int = 0  # most tokens that the example's field lost, so that its prompt fits


class _Prompt(NamedTuple):
    """An example's prompts, and its candidates' tokens.

    Attributes:
      around: The tokens before and after the label: one pair for each candidate if fields differ
        between choices, else one pair for all candidates.
      candidates: The tokens of each candidate.
      cut: The most tokens by which the field that may be truncated was.
    """

    around: list[tuple[Ids, Ids]]
    candidates: list[Ids]
    cut: int

    def with_candidate(self, i: int) -> tuple[Ids, Ids, Ids]:
        before, after = self.around[i if len(self.around) > 1 else 0]
        return before, self.candidates[i], after


@dataclass(frozen=True)
class PromptTokens:
    """A task's prompt in a tokenizer's tokens; made by :func:`tokenize`.

    Attributes:
      task: The task.
      kind: The kind of model that reads the prompts.
      max_length: Most tokens of a prompt, those of the label included.
      label_ids: int32 [C, L]: the token ids of each class's label word, padded with 0 on the right;
        [0, 0] for a task without classes.
      label_mask: float32 [C, L]: 1 for a token of the word, 0 for padding.
      demonstrations: Token ids of the solved examples that precede each prompt; see
        :func:`in_context`.
      row_length: Most tokens of a prompt with its demonstrations.
      vocab_size: The model's number of tokens; None if it is not known.
    """

    task: Task
    kind: ModelKind
    max_length: int
    label_ids: np.ndarray
    label_mask: np.ndarray
    demonstrations: tuple[tuple[int, ...], ...]
    row_length: int
    vocab_size: int | None
    _template: str
    _pieces: Pieces
    _ends: tuple[tuple[int, ...], tuple[int, ...]]  # ids that begin and ids that end every row
    _mask_id: int

    @property
    def num_classes(self) -> int:
        """C, the number of label words; 0 for a task without classes."""
        return self.label_ids.shape[0]

    @property
    def one_token(self) -> bool:
        """Whether every label word is a single token, so that one row scores all classes."""
        return self.label_ids.shape[1] == 1

    def encode(self, examples: Sequence[Example]) -> list[tuple[TokenRow, ...]]:
        """Tokenise examples; each gives one row for each of its candidates.

        Candidates are the classes, the choices, or the first answer. If every label word is a
        single token, an example has only one row, whose target is the right word. The field that
        may be truncated is tokenised separately from the rest of the template, so that truncation
        removes whole tokens of that field and changes nothing else.

        Raises:
          ValueError: An example does not fit the task, a token id is not below ``vocab_size``,
            ``max_length`` leaves no room for the field that may be truncated, or ``row_length``
            leaves no room for a demonstration.
        """
        first = itertools.repeat(not self.demonstrations)
        rows: list[tuple[TokenRow, ...]] = []
        for i, (example, prompt) in enumerate(
            zip(examples, self._prompts(examples, first, "\n"), strict=True)
        ):
            chosen = [example.label] if self.one_token else range(len(prompt.candidates))
            plain = [self._row(*prompt.with_candidate(c), shown=[]) for c in chosen]
            if self.demonstrations:
                shown = self._demonstrations_for(plain, i)
                plain = [self._row(*prompt.with_candidate(c), shown=shown) for c in chosen]
            for row in plain:
                ids = itertools.chain(row.ids, row.targets)
                check_ids(ids, self.vocab_size, f"example {i}")
            rows.append(tuple(row._replace(cut=prompt.cut) for row in plain))
        return rows

    def solved(self, examples: Sequence[Example]) -> list[tuple[int, ...]]:
        """Tokenise examples with the right label or answer, and a blank line after each.

        The first one is tokenised as the beginning of a row.
        """
        ((*blank,),) = self._pieces.encode([("\n\n", False)])
        first = itertools.chain([True], itertools.repeat(False))
        demonstrations: list[tuple[int, ...]] = []
        for example, prompt in zip(examples, self._prompts(examples, first, ""), strict=True):
            right = 0 if self.task.kind == "generation" else example.label
            before, candidate, after = prompt.with_candidate(right)
            demonstrations.append((*before, *candidate, *after, *blank))
        return demonstrations

    def _prompts(
        self, examples: Sequence[Example], first: Iterable[bool], end: str
    ) -> list[_Prompt]:
        """Tokenise examples.

        Args:
          examples: At least one example.
          first: Whether each example begins its row.
          end: The text after an answer that the model learns to generate.
        """
        check_examples(examples, self.task, self._template, self.num_classes)
        chunks = [self._chunks(example) for example in examples]
        texts = [
            self._candidates(example, variants[0], end)
            for example, variants in zip(examples, chunks, strict=True)
        ]
        pieces: list[tuple[str, bool]] = []
        for variants, candidates, begins in zip(chunks, texts, first, strict=False):
            for variant in variants:
                nonempty = [bool(chunk.text) or chunk.kind == "label" for chunk in variant]
                start = nonempty.index(True) if begins else -1
                pieces += [
                    # The label's chunk is the space before it, which is tokenised with the
                    # candidate.
                    ("" if chunk.kind == "label" else chunk.text, i == start)
                    for i, chunk in enumerate(variant)
                ]
            pieces += [(text, False) for text in candidates]
        # One call for all: a fast tokenizer encodes thousands of texts in the time of a few calls.
        ids = iter(self._pieces.encode(pieces))
        prompts: list[_Prompt] = []
        for i, (variants, candidates) in enumerate(zip(chunks, texts, strict=True)):
            encoded = [[next(ids) for _ in variant] for variant in variants]
            labels = [next(ids) for _ in candidates] or self._label_words()
            kinds = [chunk.kind for chunk in variants[0]]
            around, cut = self._truncated(kinds, encoded, labels, i)
            prompts.append(_Prompt(around, labels, cut))
        return prompts

    def _chunks(self, example: Example) -> list[list[Chunk]]:
        """Fill in the template, once or for each choice."""
        variants = max(1, len(example.choices))
        return [
            render(
                self._template,
                {k: v if isinstance(v, str) else v[c] for k, v in example.fields.items()},
                self.task.truncate,
            )
            for c in range(variants)
        ]

    def _candidates(self, example: Example, chunks: list[Chunk], end: str) -> list[str]:
        """Return the texts of an example's own candidates, each with the space before it."""
        space = next(chunk.text for chunk in chunks if chunk.kind == "label")
        if self.task.kind == "generation":
            return [space + example.answers[0].strip() + end]
        return [(space + c.lstrip() if space else c).rstrip() for c in example.choices]

    def _label_words(self) -> list[Ids]:
        return [
            row[mask > 0].tolist()
            for row, mask in zip(self.label_ids, self.label_mask, strict=True)
        ]

    def _truncated(
        self, kinds: list[str], encoded: list[list[Ids]], labels: list[Ids], example: int
    ) -> tuple[list[tuple[Ids, Ids]], int]:
        """Truncate the field that may be, to equal length for all choices, and join the chunks.

        Returns:
          The tokens around the label, and the most tokens that were removed.
        """
        fixed = self._room_for(labels) + sum(map(len, self._ends))
        fixed += max(
            sum(len(ids) for ids, kind in zip(row, kinds, strict=True) if kind != "truncate")
            for row in encoded
        )
        room = self.max_length - fixed
        field = self.task.truncate
        if room < (0 if field is None else 1):
            minimum = "" if field is None else f"a token of {field} and "
            raise ValueError(
                f"tokenize: max_length must leave room for {minimum}the {fixed} tokens of example "
                f"{example} that may not be truncated, got {self.max_length}. Raise max_length, or "
                "shorten the template."
            )
        place = kinds.index("label")
        around: list[tuple[Ids, Ids]] = []
        for row in encoded:
            fitting = [
                ids[:room] if kind == "truncate" else ids
                for ids, kind in zip(row, kinds, strict=True)
            ]
            around.append((_joined(fitting[:place]), _joined(fitting[place + 1 :])))
        fields = [
            len(ids)
            for row in encoded
            for ids, kind in zip(row, kinds, strict=True)
            if kind == "truncate"
        ]
        return around, max([0, *(length - room for length in fields)])

    def _room_for(self, candidates: Iterable[Ids]) -> int:
        """Return how many tokens are reserved for a candidate, or for the generated answer."""
        longest = max(map(len, candidates))
        if self.task.kind == "generation":
            return max(longest, self.task.max_new_tokens)
        return longest

    def _demonstrations_for(self, rows: Sequence[TokenRow], example: int) -> Ids:
        """Return the tokens of as many demonstrations as fit before an example's rows."""
        length = max(row.positions[0] + 1 for row in rows)
        length += self._room_for(row.targets for row in rows)
        shown: Ids = []
        for demonstration in self.demonstrations:
            if len(shown) + len(demonstration) + length > self.row_length:
                break
            shown += demonstration
        if not shown:
            raise ValueError(
                "in_context: max_length must leave room for a demonstration of "
                f"{len(self.demonstrations[0])} tokens beside the {length} of example {example}, "
                f"got {self.row_length}. Raise max_length, or lower the max_length of tokenize."
            )
        return shown

    def _row(self, before: Ids, candidate: Ids, after: Ids, shown: Ids) -> TokenRow:
        begin, end = self._ends
        before = [*begin, *shown, *before]
        if self.kind == "masked":
            ids = [*before, *[self._mask_id] * len(candidate), *after, *end]
            start = len(before)
        else:
            # The last token of a candidate is only predicted, so it is not part of the input.
            ids = [*before, *candidate[:-1]]
            start = len(before) - 1
        return TokenRow(ids, list(range(start, start + len(candidate))), candidate)


def _joined(parts: Iterable[Ids]) -> Ids:
    return [token for part in parts for token in part]
