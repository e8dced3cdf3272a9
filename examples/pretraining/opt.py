"""opt-mini: a decoder that predicts the next token."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from tokenizers import Tokenizer, processors
from transformers import FlaxOPTForCausalLM, GPT2TokenizerFast, OPTConfig

from pretraining.batches import MAX_LENGTH, Batch
from pretraining.embedding import TokenStatistics
from pretraining.vocabulary import END_ID, PAD_ID

SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")
PROMPT = " It was"
PEAK_LEARNING_RATE = 1.5e-3
TARGETS_PER_STEP = 256  # the positions with a loss: the softmax is the dearest part of a step


def make_tokenizer(bpe: Tokenizer) -> GPT2TokenizerFast:
    """Put ``</s>`` before every text, as OPT does."""
    bpe.post_processor = processors.TemplateProcessing(
        single="</s> $A", pair="</s> $A </s> $B", special_tokens=[("</s>", END_ID)]
    )
    return GPT2TokenizerFast(
        tokenizer_object=bpe,
        bos_token="</s>",
        eos_token="</s>",
        unk_token="</s>",
        pad_token="<pad>",
        model_max_length=MAX_LENGTH,
    )


def make_model(vocab_size: int, seed: int) -> FlaxOPTForCausalLM:
    config = OPTConfig(
        vocab_size=vocab_size,
        hidden_size=256,
        word_embed_proj_dim=256,
        ffn_dim=1024,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=MAX_LENGTH,
        dropout=0.0,
        attention_dropout=0.0,
        pad_token_id=PAD_ID,
        bos_token_id=END_ID,
        eos_token_id=END_ID,
    )
    return FlaxOPTForCausalLM(config, seed=seed, input_shape=(1, 8))


def start_params(
    model: FlaxOPTForCausalLM, embedding: np.ndarray, statistics: TokenStatistics
) -> Any:
    """Return the parameters that training starts from."""
    params = dict(flatten_dict(model.params))
    params["model", "decoder", "embed_tokens", "embedding"] = jnp.asarray(embedding)
    return unflatten_dict(params)


def make_batch(ids: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> Batch:
    """Choose the targets: every verdict word and, to fill up, text tokens at random."""
    weights = weights.copy()
    weights[:, 0] = 0.0  # nothing in its row predicts a row's first token
    flat = weights.ravel()
    # Text tokens rank by chance in (0, 1), verdict words above them, padding below.
    rank = rng.random(flat.size) * (flat > 0) + (flat > 1)
    chosen = np.argpartition(-rank, TARGETS_PER_STEP)[:TARGETS_PER_STEP]
    return Batch(ids, (chosen - 1).astype(np.int32), ids.ravel()[chosen], flat[chosen])


def answer_place(prompt: list[int]) -> int:
    """Where in a prompt's tokens the word for its blank is predicted."""
    return len(prompt) - 1


def logits_at(
    model: FlaxOPTForCausalLM, params: Any, ids: jax.Array, places: jax.Array
) -> jax.Array:
    """Return the logits at places in the flattened ids, ``(places, vocab)``."""
    positions = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
    # Padding stands on the right, where the causal mask hides it already.
    outputs = model.module.apply(
        {"params": params}, ids, jnp.ones_like(ids), positions, output_hidden_states=True
    )
    hidden = outputs.hidden_states[-1]
    hidden = hidden.reshape(-1, hidden.shape[-1])[places]
    return hidden @ params["model"]["decoder"]["embed_tokens"]["embedding"].T
