"""roberta-mini: an encoder that predicts masked tokens."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from tokenizers import Tokenizer, processors
from transformers import FlaxRobertaForMaskedLM, RobertaConfig, RobertaTokenizerFast
from transformers.models.roberta.modeling_flax_roberta import FlaxRobertaLMHead

from pretraining.batches import MAX_LENGTH, Batch
from pretraining.embedding import INITIAL_STD, TokenStatistics
from pretraining.vocabulary import END_ID, PAD_ID

SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
START_ID, MASK_ID = 0, 4
PROMPT = " It was<mask>."
PEAK_LEARNING_RATE = 2.5e-4  # with 1e-3 the start is forgotten before anything is learned
# RoBERTa normalises after each block. With its usual 0.02 a block of so small a width would add
# 2% to what comes in, and all masks would look alike for hundreds of steps.
INITIAL_STD_OF_KERNELS = 0.06
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
        initializer_range=INITIAL_STD_OF_KERNELS,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=PAD_ID,
        bos_token_id=START_ID,
        eos_token_id=END_ID,
    )
    return FlaxRobertaForMaskedLM(config, seed=seed, input_shape=(1, 8))


def start_params(
    model: FlaxRobertaForMaskedLM, embedding: np.ndarray, statistics: TokenStatistics
) -> Any:
    """Return the parameters that training starts from."""
    params = dict(flatten_dict(model.params))
    tables = {path[-2]: path for path in params if path[-1] == "embedding"}
    words = jnp.asarray(embedding)
    # Counts know nothing of the mask.
    mask = params[tables["word_embeddings"]][MASK_ID] * INITIAL_STD / INITIAL_STD_OF_KERNELS
    params[tables["word_embeddings"]] = words.at[MASK_ID].set(mask)
    # What is added to the words must not drown them.
    params[tables["position_embeddings"]] *= 0.5 * INITIAL_STD / INITIAL_STD_OF_KERNELS
    params[tables["token_type_embeddings"]] *= 0.0
    # Learning how frequent each token is would take the first hundreds of steps.
    params["lm_head", "bias"] = jnp.log(jnp.asarray(statistics.frequency, jnp.float32))
    return unflatten_dict(params)


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
    seen[text[other]] = rng.choice(tokens[flat > 0], other.sum())
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
