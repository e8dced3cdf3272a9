"""From tokens to text, and objectives that are Python functions of texts."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zojax
from zojax.lm.decoding import greedy, stop_tokens, text_objective, texts
from zojax.lm.models import Tokenizer

IDS = np.array([[2, 40, 50, 60], [2, 70, 80, 1]], np.int32)
MASK = np.array([[1, 1, 1, 1], [1, 1, 1, 0]], np.int32)


@pytest.fixture(scope="module")
def tokenizer(load: Any) -> Tokenizer:
    return load("opt").tokenizer


@pytest.mark.quick
def test_line_breaks_and_the_end_of_sequence_stop(tokenizer: Tokenizer):
    stops = stop_tokens(tokenizer)
    assert stops.dtype == np.int32
    assert set(stops) == {
        tokenizer.eos_token_id,
        *tokenizer("\n", add_special_tokens=False).input_ids,
    }


@pytest.mark.quick
def test_bytes_and_longer_tokens_with_line_breaks_stop():
    """SentencePiece's byte, and tokens that are more than a line break."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models

    vocabulary = ["<unk>", "</s>", "<0x0A>", "<0x0B>", "x", "x\ny", "Ċ"]
    raw = Backend(
        models.BPE(
            {token: i for i, token in enumerate(vocabulary)},
            [],
            unk_token="<unk>",
            byte_fallback=True,
        )
    )
    raw.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    raw.add_special_tokens(["</s>", "<unk>"])
    tokenizer = Tokenizer(raw, dict(eos="</s>", unk="<unk>"))
    # Here Ċ is a letter: no decoder makes a line break of it.
    assert stop_tokens(tokenizer).tolist() == [1, 2, 5]


@pytest.mark.quick
def test_texts_end_at_the_line(tokenizer: Tokenizer):
    rows = [" a film\n", " great</s> film", "It was\nIt was", ""]
    ids = [tokenizer(row, add_special_tokens=False).input_ids for row in rows]
    tokens = np.full((4, max(map(len, ids))), -1, np.int32)
    for row, filled in zip(ids, tokens, strict=True):
        filled[: len(row)] = row
    assert texts(tokenizer, tokens) == ["a film", "great film", "It was", ""]


def test_an_objective_of_texts_is_any_python_function(load: Any, quick: Any):
    model = load("opt")
    heard: list[Any] = []

    def cost(written: list[str], places: np.ndarray) -> float:
        heard.append((written, places))
        return float(sum(len(text) for text in written) + places.sum())

    objective = text_objective(model, cost, max_new_tokens=6)
    places = np.array([10, 20], np.int32)
    value = quick(objective)(model.params, IDS, MASK, places)
    stops = stop_tokens(model.tokenizer)
    write = partial(greedy, model, max_new_tokens=6, stop_tokens=stops)
    written = texts(model.tokenizer, quick(write)(model.params, IDS, MASK))
    assert (value.shape, value.dtype) == ((), jnp.float32)
    assert float(value) == sum(map(len, written)) + 30
    assert [texts for texts, _ in heard] == [written]
    np.testing.assert_array_equal(heard[0][1], places)


@pytest.mark.slow
def test_a_step_calls_back_wherever_it_evaluates(load: Any, quick: Any):
    """In a compiled step, for queries one by one or in one batch, and outside of jit."""
    model = load("opt")
    objective = text_objective(model, lambda texts: sum(map(len, texts)), max_new_tokens=4)

    def slopes(**options: Any) -> Any:
        in_place = options["evaluation"] == "in_place"
        compiled = quick(objective) if in_place else objective
        tx = zojax.spsa(0.3, key=0, direction=zojax.Rademacher(), **options)

        def update(params: Any) -> Any:
            updates, state = tx.update(
                None, tx.init(params), params, value_fn=lambda p: compiled(p, IDS, MASK)
            )
            return state.value, updates["norm"]

        return (update if in_place else quick(update))(model.params)

    expected = slopes(evaluation="copy", num_queries=2)
    assert float(expected[0]) > 0
    for options in (
        dict(evaluation="streamed", batched=True),
        dict(evaluation="in_place"),
    ):
        got = slopes(num_queries=2, **options)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), got, expected)


def test_an_error_in_the_function_is_quoted(load: Any, quick: Any):
    model = load("opt")

    def cost(written: list[str]) -> float:
        raise RuntimeError("no such judge")

    objective = text_objective(model, cost, max_new_tokens=2)
    with pytest.raises(jax.errors.JaxRuntimeError, match="no such judge"):
        quick(objective)(model.params, IDS, MASK)
