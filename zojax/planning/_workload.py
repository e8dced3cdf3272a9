"""Language models to plan with: their shapes and their loss, without their weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from zojax._types import Array

# Hidden size, layers, heads; the feed-forward size is four times the hidden size.
_OPT = {
    "opt-125m": (768, 12, 12),
    "opt-350m": (1024, 24, 16),
    "opt-1.3b": (2048, 24, 32),
    "opt-2.7b": (2560, 32, 32),
    "opt-6.7b": (4096, 32, 32),
    "opt-13b": (5120, 40, 40),
    "opt-30b": (7168, 48, 56),
    "opt-66b": (9216, 64, 72),
    "opt-175b": (12288, 96, 96),
}
_ROBERTA = {"roberta-base": (768, 12, 12), "roberta-large": (1024, 24, 16)}

MODELS = (*_OPT, *_ROBERTA)
"""The models known by name."""


class Workload(NamedTuple):
    """A model's abstract parameters, a batch of tokens, and the loss of one on the other."""

    params: Any  # ShapeDtypeStruct leaves
    tokens: jax.ShapeDtypeStruct  # int32 [batch, length]
    loss: Callable[[Any, Array], Array]  # (params, tokens) -> float32 []

    @property
    def nbytes(self) -> int:
        """Bytes of the parameters."""
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self.params))


def workload(
    model: str | Path, *, batch: int, length: int, dtype: DTypeLike = jnp.float32
) -> Workload:
    """The shapes of a model and of a batch, and the loss over all tokens of the batch.

    Args:
      model: One of ``MODELS``, or a folder with transformers' ``config.json`` of an OPT or a
        RoBERTa. No weights are read.
      batch, length: Shape of the batch, in sequences and tokens.
      dtype: Of the parameters and of the computation.

    Raises:
      ImportError: transformers is not installed.
      ValueError: The model is unknown, or its family is.
    """
    try:
        import transformers
    except ImportError as error:
        raise ImportError('workload: transformers is missing: pip install "zojax[hf]".') from error
    config = _config(transformers, model)
    families: dict[str, tuple[Any, Any]] = {
        "opt": (_opt_class, _next_token_loss),
        "roberta": (_roberta_class, _masked_token_loss),
    }
    if config.model_type not in families:
        raise ValueError(
            f"workload: model must be of the family {' or '.join(families)}, got "
            f"{config.model_type}."
        )
    model_class, loss_of = families[config.model_type]
    with _lenient():
        network = model_class()(config, dtype=jnp.dtype(dtype), _do_init=False)
        shapes = jax.eval_shape(lambda: network.init_weights(jax.random.key(0), (1, 8)))
    params = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), shapes)
    return Workload(params, jax.ShapeDtypeStruct((batch, length), jnp.int32), loss_of(network))


def _config(transformers: ModuleType, model: str | Path) -> Any:
    if model in _OPT:
        hidden, layers, heads = _OPT[str(model)]
        small = model == "opt-350m"  # the one with projections and post-normalisation
        return transformers.OPTConfig(
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            ffn_dim=4 * hidden,
            word_embed_proj_dim=512 if small else hidden,
            do_layer_norm_before=not small,
        )
    if model in _ROBERTA:
        hidden, layers, heads = _ROBERTA[str(model)]
        return transformers.RobertaConfig(
            vocab_size=50_265,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * hidden,
            max_position_embeddings=514,
            type_vocab_size=1,
        )
    if not (Path(model) / "config.json").is_file():
        raise ValueError(
            f"workload: model must be one of {', '.join(MODELS)} or a folder with a config.json, "
            f"got {str(model)!r}."
        )
    return transformers.AutoConfig.from_pretrained(model)


def _opt_class() -> Any:
    from transformers.models.opt.modeling_flax_opt import FlaxOPTForCausalLM

    return FlaxOPTForCausalLM


def _roberta_class() -> Any:
    from transformers.models.roberta.modeling_flax_roberta import FlaxRobertaForMaskedLM

    return FlaxRobertaForMaskedLM


def _next_token_loss(network: Any) -> Callable[[Any, Array], Array]:
    def loss(params: Any, tokens: Array) -> Array:
        with _lenient():
            logits = network(tokens, params=params).logits[:, :-1]
            return _cross_entropy(logits, tokens[:, 1:])

    return loss


def _masked_token_loss(network: Any) -> Callable[[Any, Array], Array]:
    def loss(params: Any, tokens: Array) -> Array:
        with _lenient():
            return _cross_entropy(network(tokens, params=params).logits, tokens)

    return loss


@contextlib.contextmanager
def _lenient() -> Generator[None]:
    # transformers' models promote dtypes and ranks, which strict settings of JAX refuse.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def _cross_entropy(logits: Array, tokens: Array) -> Array:
    losses = optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), tokens)
    return losses.mean()
