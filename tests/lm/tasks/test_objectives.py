"""The objectives: candidates scored as their definitions say, one sequence at a time in NumPy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_compile import quick_jit

import zojax
import zojax.lm.models
from zojax.lm.models import LanguageModel
from zojax.lm.tasks import (
    Batch,
    Classification,
    Example,
    Generation,
    ModelKind,
    MultipleChoice,
    PromptSet,
    Task,
    objective,
    tokenize,
)

Logits = Callable[[list[int]], np.ndarray]
LENGTH = 40
TEXT = Task(
    "t", "classification", "{text} It was {label}", ("terrible", "great"), "{text} It was {label}."
)
WORDS = dataclasses.replace(TEXT, label_words=("terrible", "so bad", "great"))
OPTIONS = Task("t", "multiple_choice", "{text} It {label}", masked_template="{text} It {label}.")
BEGINNINGS = Task("t", "multiple_choice", "{text}{label}", truncate=None)
ANSWERS = Task("t", "generation", "{text} It was {label}", max_new_tokens=8)
EXAMPLES = [Example("a film", 1), Example("a story. a film", 0), Example("It was", 1)]
CHOICES = [
    Example("a film", 2, choices=("was great", "was a", "was terrible"), right=(2, 0)),
    Example("a story", 1, choices=("was", "was it a story")),
]
DIFFERENT = [
    Example({"text": ("a film", "a story")}, 0, choices=(" was great", " was great")),
    Example({"text": ("It", "It was", "a")}, 2, choices=(" was", " great", " it")),
]
WRITTEN = [Example("a film", answers=("great", "a")), Example("a", answers=("a story",))]


@pytest.fixture(scope="module")
def causal(tiny_opt: Path) -> LanguageModel:
    return zojax.lm.models.load(tiny_opt)


@pytest.fixture(scope="module")
def masked(tiny_roberta: Path) -> LanguageModel:
    return zojax.lm.models.load(tiny_roberta)


@pytest.fixture(scope="module")
def logits_of() -> Callable[[LanguageModel], Logits]:
    """``model -> (ids -> logits [T, V])``: a row of tokens by the whole model, compiled once."""
    compiled: dict[str, Any] = {}

    def of(model: LanguageModel) -> Logits:
        apply = compiled.setdefault(model.kind, quick_jit(model.apply))

        def logits(ids: list[int]) -> np.ndarray:
            row = np.zeros((1, LENGTH), np.int32)
            row[0, : len(ids)] = ids
            mask = (np.arange(LENGTH) < len(ids)).astype(np.int32)[None]
            return np.asarray(apply(model.params, row, mask), np.float64)[0, : len(ids)]

        return logits

    return of


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def score_by_hand(model: LanguageModel, logits: Logits, prompt: str, candidate: str) -> float:
    """Mean log-likelihood of the candidate's tokens after the prompt, or of a masked model before
    a full stop."""

    def ids(text: str) -> list[int]:
        return model.tokenizer(text, add_special_tokens=False).input_ids

    before, tokens = [model.tokenizer.bos_token_id, *ids(prompt)], ids(candidate)
    if model.kind == "masked":
        masks = [model.tokenizer.mask_token_id] * len(tokens)
        log_p = log_softmax(logits([*before, *masks, *ids("."), model.tokenizer.eos_token_id]))
        start = len(before)
    else:
        log_p = log_softmax(logits([*before, *tokens]))
        start = len(before) - 1
    return float(np.mean([log_p[start + j, token] for j, token in enumerate(tokens)]))


def measured(task: Classification | MultipleChoice, params: Any, batch: Batch) -> tuple[Any, ...]:
    @quick_jit
    def measure(params: Any, batch: Batch) -> tuple[Any, ...]:
        return task.scores(params, batch), task.totals(params, batch), task.loss(params, batch)

    return measure(params, batch)


@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize("task", [TEXT, WORDS], ids=["one token", "several tokens"])
def test_classification_is_by_definition(
    kind: ModelKind, task: Task, logits_of: Any, request: pytest.FixtureRequest
):
    model: LanguageModel = request.getfixturevalue(kind)
    logits = logits_of(model)
    expected = np.array(
        [
            [
                score_by_hand(model, logits, f"{e.text} It was", f" {word}")
                for word in task.label_words
            ]
            for e in EXAMPLES
        ]
    )
    tokens = tokenize(task, model.tokenizer, 48, kind=kind)
    # One place more than examples: what fills the batch up must not count.
    batch = PromptSet.of(EXAMPLES, tokens).batch(np.arange(3), LENGTH, 4)
    scores, totals, loss = measured(Classification(model, tokens), model.params, batch)
    scores = np.asarray(scores)[:3]
    if tokens.one_token:  # logits: right up to a constant of the row
        scores, expected = (s - s.mean(1, keepdims=True) for s in (scores, expected))
    np.testing.assert_allclose(scores, expected, atol=1e-5)

    labels = np.array([example.label for example in EXAMPLES])
    losses = -log_softmax(expected)[np.arange(3), labels]
    np.testing.assert_allclose(totals.loss, losses.sum(), rtol=1e-5)
    np.testing.assert_allclose(loss, losses.mean(), rtol=1e-5)
    assert int(totals.correct) == (expected.argmax(1) == labels).sum()
    assert int(totals.examples) == 3


@pytest.mark.parametrize(
    ("kind", "task", "examples"),
    [
        ("causal", OPTIONS, CHOICES),
        ("causal", BEGINNINGS, DIFFERENT),
        ("masked", OPTIONS, CHOICES),
    ],
)
def test_multiple_choice_is_by_definition(
    kind: ModelKind,
    task: Task,
    examples: list[Example],
    logits_of: Any,
    request: pytest.FixtureRequest,
):
    model: LanguageModel = request.getfixturevalue(kind)
    logits = logits_of(model)
    expected = np.full((len(examples), 3), -np.inf)
    for i, example in enumerate(examples):
        for c, choice in enumerate(example.choices):
            text = example.fields["text"]
            prompt, candidate = (
                (f"{text} It", f" {choice}") if isinstance(text, str) else (text[c], choice)
            )
            expected[i, c] = score_by_hand(model, logits, prompt, candidate)
    tokens = tokenize(task, model.tokenizer, 48, kind=kind)
    data = PromptSet.of(examples, tokens)
    solver = MultipleChoice(model, tokens)
    batch = data.batch(np.arange(2), LENGTH, 3, "candidates")
    scores, totals, loss = measured(solver, model.params, batch)
    np.testing.assert_allclose(np.asarray(scores)[:2], expected, atol=1e-5)

    right = [e.label for e in examples]
    losses = -expected[np.arange(2), right]
    np.testing.assert_allclose(totals.loss, losses.sum(), rtol=1e-5)
    np.testing.assert_allclose(loss, losses.mean(), rtol=1e-5)
    hits = [int(expected[i].argmax()) in e.right for i, e in enumerate(examples)]
    assert int(totals.correct) == sum(hits)
    assert int(totals.examples) == 2

    training = data.batch(np.arange(2), LENGTH, 3)
    assert training.input_ids.shape == (3, LENGTH)
    np.testing.assert_allclose(quick_jit(solver.loss)(model.params, training), loss, rtol=1e-5)


def test_every_right_choice_counts(causal: LanguageModel):
    """The likeliest choice is right by being among the right ones, not by being the label."""
    tokens = tokenize(OPTIONS, causal.tokenizer, 48)
    task = MultipleChoice(causal, tokens)
    plain = CHOICES[1]

    @jax.jit
    def measure(batch: Batch) -> tuple[Any, Any]:
        return jnp.argmax(task.scores(causal.params, batch)), task.totals(causal.params, batch)

    def measure_with(label: int, right: tuple[int, ...]) -> tuple[Any, Any]:
        example = Example(plain.fields, label, choices=plain.choices, right=right)
        batch = PromptSet.of([example], tokens).batch(np.arange(1), LENGTH, 1, "candidates")
        return measure(batch)

    best = int(measure_with(0, ())[0])
    other = 1 - best
    assert int(measure_with(other, ())[1].correct) == 0
    assert int(measure_with(other, (other, best))[1].correct) == 1


def test_generation_is_by_definition(causal: LanguageModel, logits_of: Any):
    logits = logits_of(causal)
    tokens = tokenize(ANSWERS, causal.tokenizer, 48)
    batch = PromptSet.of(WRITTEN, tokens).batch(np.arange(2), LENGTH, 3)
    task = Generation(causal, tokens)
    losses = [
        -score_by_hand(causal, logits, f"{e.text} It was", f" {e.answers[0]}\n") for e in WRITTEN
    ]
    totals = quick_jit(task.totals)(causal.params, batch)
    np.testing.assert_allclose(totals.loss, sum(losses), rtol=1e-5)
    np.testing.assert_allclose(
        quick_jit(task.loss)(causal.params, batch), np.mean(losses), rtol=1e-5
    )
    assert int(totals.examples) == 2


def test_an_answer_is_right_where_greedy_decoding_writes_it(causal: LanguageModel, logits_of: Any):
    tokens = tokenize(ANSWERS, causal.tokenizer, 48)
    task = Generation(causal, tokens)
    logits = logits_of(causal)
    data = PromptSet.of([Example("a film", answers=("great",))], tokens)
    ((row,),) = data.rows
    prompt = row.ids[: row.positions[0] + 1]
    written = list(prompt)
    for _ in row.targets:
        written.append(int(logits(written)[-1].argmax()))
    batch = data.batch(np.arange(1), LENGTH, 1)
    assert int(quick_jit(task.totals)(causal.params, batch).correct) == 0
    batch.targets[0, : len(row.targets)] = written[len(prompt) :]
    batch.input_ids[0, len(prompt) : len(written) - 1] = written[len(prompt) : -1]
    assert int(quick_jit(task.totals)(causal.params, batch).correct) == 1


def test_the_objective_of_a_kind(causal: LanguageModel):
    for task, kind in ((TEXT, Classification), (OPTIONS, MultipleChoice), (ANSWERS, Generation)):
        assert isinstance(objective(causal, tokenize(task, causal.tokenizer, 48)), kind)


def test_losses_are_float32_in_bfloat16(tiny_opt: Path):
    model = zojax.lm.models.load(tiny_opt, dtype="bfloat16")
    for task, examples in (
        (TEXT, EXAMPLES),
        (WORDS, EXAMPLES),
        (OPTIONS, CHOICES),
        (ANSWERS, WRITTEN),
    ):
        tokens = tokenize(task, model.tokenizer, 48)
        batch = PromptSet.of(examples, tokens).batch(np.arange(2), LENGTH, 2)
        loss = jax.eval_shape(objective(model, tokens).loss, model.params, batch)
        assert (loss.shape, loss.dtype) == ((), jnp.float32)


def test_losses_are_evaluated_at_perturbed_weights(causal: LanguageModel):
    """Streamed: each operation that meets a weight knows what to do with a lazy one."""
    tx = zojax.mezo(1e-3, eps=1e-3, key=jax.random.key(0))
    for task, examples in ((WORDS, EXAMPLES), (OPTIONS, CHOICES), (ANSWERS, WRITTEN)):
        tokens = tokenize(task, causal.tokenizer, 48)
        batch = PromptSet.of(examples, tokens).batch(np.arange(2), LENGTH, 2)
        scored = objective(causal, tokens)

        def update(params: Any, scored: Any = scored, batch: Batch = batch) -> Any:
            value_fn = partial(scored.loss, batch=batch)
            return tx.update(None, tx.init(params), params, value_fn=value_fn)[0]

        updates = jax.eval_shape(update, causal.params)
        assert jax.tree.structure(updates) == jax.tree.structure(causal.params)
