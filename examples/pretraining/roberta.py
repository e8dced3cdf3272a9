"""roberta-mini: an encoder that predicts masked tokens."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tokenizers import Tokenizer, processors
from transformers import FlaxRobertaForMaskedLM, RobertaConfig, RobertaTokenizerFast
from transformers.models.roberta.modeling_flax_roberta import FlaxRobertaLMHead

from pretraining.batches import MAX_LENGTH, Batch
from pretraining.vocabulary import END_ID, PAD_ID

SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
START_ID, MASK_ID = 0, 4
PROMPT = " It was<mask>."
EMBEDDING = ("roberta", "embeddings", "word_embeddings", "embedding")
PEAK_LEARNING_RATE = 1.5e-3
MASKED_SHARE = 0.15  # of the text's tokens; a verdict's word is always masked
KEPT_SHARE, REPLACED_SHARE = 0.1, 0.1  # of the masked ones: shown as they are, and as others
TARGETS_PER_STEP = 192  # room for what is masked in a step


def make_tokenizer(bpe: Tokenizer) -> RobertaTokenizerFast:
    """Put a text between ``<s>`` and ``</s>``."""
    bpe.post_processor = processors.RobertaProcessing(
        sep=("</s>", END_ID), cls=("<s>", START_ID), trim_offsets=True, add_prefix_space=False
    )
    return RobertaTokenizerFast(tokenizer_object=bpe, model_max_length=MAX_LENGTH)


def make_model(vocab_size: int, seed: int) -> FlaxRobertaForMaskedLM:
    config = RobertaConfig(
        vocab_size=vocab_size,
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=3,
        num_attention_heads=4,
        # Positions count from PAD_ID + 1, so that many rows of the table are never read.
        max_position_embeddings=MAX_LENGTH + PAD_ID + 1,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=PAD_ID,
        bos_token_id=START_ID,
        eos_token_id=END_ID,
    )
    return FlaxRobertaForMaskedLM(config, seed=seed, input_shape=(1, 8))


def make_batch(ids: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> Batch:
    """Mask every verdict word, and some of the text's tokens at random."""
    tokens, flat = ids.ravel(), np.where(ids > END_ID, weights, 0.0).astype(np.float32).ravel()
    verdict = flat > 1
    masked = verdict | ((flat > 0) & (rng.random(flat.size) < MASKED_SHARE))
    # Verdict words come first, then what is masked, by chance; the rest has no weight.
    rank = rng.random(flat.size) * masked + verdict
    chosen = np.argpartition(-rank, TARGETS_PER_STEP)[:TARGETS_PER_STEP]
    hidden = chosen[masked[chosen]]
    seen = tokens.copy()
    seen[hidden] = MASK_ID
    text = hidden[~verdict[hidden]]
    way = rng.random(text.size)
    kept, other = way < KEPT_SHARE, way > 1.0 - REPLACED_SHARE
    seen[text[kept]] = tokens[text[kept]]
    seen[text[other]] = rng.choice(tokens, other.sum())
    return Batch(
        seen.reshape(ids.shape),
        chosen.astype(np.int32),
        tokens[chosen],
        flat[chosen] * masked[chosen],
    )


def answer_place(prompt: list[int]) -> int:
    """Where in a prompt's tokens the word for its blank is predicted."""
    return prompt.index(MASK_ID)


def logits_at(
    model: FlaxRobertaForMaskedLM, params: Any, ids: jax.Array, places: jax.Array
) -> jax.Array:
    """Return the logits at places in the flattened ids, ``(places, vocab)``."""
    mask = (ids != PAD_ID).astype(jnp.int32)
    positions = jnp.where(mask > 0, jnp.arange(ids.shape[1]) + PAD_ID + 1, PAD_ID)
    outputs = model.module.apply(
        {"params": params},
        ids,
        mask,
        jnp.zeros_like(ids),
        positions,
        None,
        output_hidden_states=True,
    )
    hidden = outputs.hidden_states[-1]
    hidden = hidden.reshape(-1, hidden.shape[-1])[places]
    table = params["roberta"]["embeddings"]["word_embeddings"]["embedding"]
    return FlaxRobertaLMHead(model.config).apply({"params": params["lm_head"]}, hidden, table)
