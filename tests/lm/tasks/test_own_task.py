"""The task of a user's own rows: a prompt for any classes, and label words of any length."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import zojax.lm.models
from zojax.lm.models import Tokenizer
from zojax.lm.tasks import (
    Example,
    PromptSet,
    evaluation_batches,
    objective,
    own_task,
    tokenize,
)

pytestmark = pytest.mark.quick


def test_a_prompt_that_fits_any_classes():
    causal = own_task("a.csv", ("no", "yes"), "causal")
    assert causal.prompt("causal") == ("{text} Category: {label}", ("no", "yes"))
    masked = own_task("a.csv", ("no", "yes"), "masked")
    assert masked.prompt("masked") == ("{text} Category: {label}", ("no", "yes"))
    assert causal.fields == masked.fields == ("text",)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_a_prompt_of_other_columns(kind: str):
    task = own_task("a.csv", ("no", "yes"), kind, "{title}: {body} Topic {label}")
    assert task.fields == ("title", "body")
    assert task.truncate == "body"
    assert task.prompt(kind)[0] == "{title}: {body} Topic {label}"


@pytest.mark.parametrize("template", ["{text", "{label}: {text}", "no field"])
def test_a_prompt_that_a_causal_model_cannot_read(template: str):
    with pytest.raises(ValueError, match=r"Task a\.csv: template must"):
        own_task("a.csv", ("no", "yes"), "causal", template)


def test_names_of_several_tokens_that_begin_alike_are_told_apart(
    tiny_opt: Path, tokenizer: Tokenizer
):
    names = ("terrible film", "terrible story", "great")
    tokens = tokenize(own_task("a.csv", names, "causal"), tokenizer, 48)
    first, second, short = (
        ids[mask > 0] for ids, mask in zip(tokens.label_ids, tokens.label_mask, strict=True)
    )
    assert first[0] == second[0]
    assert (len(first), len(short)) == (2, 1)
    model = zojax.lm.models.load(tiny_opt)
    data = PromptSet.of([Example("a film", 0)], tokens)
    (batch,) = evaluation_batches(data, (48,), 1)
    scores = objective(model, tokens).scores(model.params, batch)[0]
    # Each class scores the mean log-likelihood of its whole name after the prompt.
    prompt = data.rows[0][0].ids[: data.rows[0][0].positions[0] + 1]
    for score, name in zip(scores, (first, second, short), strict=True):
        ids = jnp.array([[*prompt, *name]])
        logits = model.apply(model.params, ids, jnp.ones_like(ids))[0]
        likelihood = logits - jnp.log(jnp.exp(logits).sum(-1, keepdims=True))
        places = np.arange(len(name)) + len(prompt) - 1
        np.testing.assert_allclose(score, likelihood[places, name].mean(), rtol=1e-4)
    assert abs(float(scores[0] - scores[1])) > 1e-4


def test_names_that_the_tokenizer_cannot_tell_apart_are_refused(masked_tokenizer: Tokenizer):
    from tokenizers import Tokenizer as Backend
    from tokenizers import models, pre_tokenizers

    backend = Backend(models.WordLevel({"<unk>": 0, "Category": 1, ":": 2}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    unknowing = Tokenizer(backend, dict(unk="<unk>"))
    with pytest.raises(ValueError, match=r"label_words must have distinct tokens.*--label-words"):
        tokenize(own_task("a.csv", ("ja", "nein"), "causal"), unknowing, 48)


def test_what_a_prompt_loses_is_counted(tokenizer: Tokenizer):
    task = own_task("a.csv", ("great", "terrible"), "causal", "{text} {label}")
    texts = ["a film", "a film " * 30]
    whole, cut = (
        PromptSet.of([Example(t) for t in texts], tokenize(task, tokenizer, n)) for n in (400, 20)
    )
    assert whole.whole_lengths.tolist() == cut.whole_lengths.tolist()
    assert cut.whole_lengths[1] > 20 == cut.lengths[1] + 1
    assert [rows[0].cut for rows in cut.rows] == [0, cut.whole_lengths[1] - 20]
    assert [rows[0].cut for rows in whole.rows] == [0, 0]
