"""Head tuning: only the LM head is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from zojax.lm.adapters._adapter import ADAPTER, MODEL, Adapter, LeafPath, adapted, flat, nested
from zojax.lm.models import SCORE, LanguageModel, Params, features_of, scored


@dataclass(frozen=True)
class HeadTuning(Adapter):
    """Trains an untied copy of the LM head: every parameter between hidden states and logits.

    In OPT, LLaMA and Mistral the head is one matrix, tied to the token embedding or not; in RoBERTa
    it is the transform, the matrix and the bias. The embedding of the input tokens stays frozen.
    The initial logits equal the model's.

    Attributes:
      labels: The names of classes that get a head of their own, which is trained in the LM head's
        place; initially 0. Without names, the LM head is trained.

    Cost: one more head, of the model's dtype; the parameters that it replaces remain in memory.

    References:
      Malladi et al., 2023, arXiv:2305.17333.
    """

    labels: tuple[str, ...] = ()

    def initial(self, model: LanguageModel, key: Array) -> Params:
        del key  # the initial values are the model's
        if self.labels:
            shape = features_of(model), len(self.labels)
            return {SCORE: {"kernel": jnp.zeros(shape, jnp.float32)}}
        leaves = flat(model.params)
        # jnp.array copies: a training step may donate the adapter, but not the base parameters.
        return nested({path: jnp.array(leaves[path]) for path in head_paths(model)})

    def wrap(self, model: LanguageModel, own: Params) -> LanguageModel:
        if self.labels:
            return scored(adapted(model, own), self.labels, ADAPTER)

        def logits(params: Params, *args: Any, **kwargs: Any) -> Array:
            return model.logits(self.merged_tree(params), *args, **kwargs)

        return adapted(model, own, logits=logits)

    def merged(self, params: Params) -> Params:
        if self.labels:
            raise ValueError(
                "merge: a tuned head must be the language-modelling head, got one of the classes "
                f"{', '.join(self.labels)}. Save the adapter with save_adapter."
            )
        tied = [path for path in flat(params[ADAPTER]) if path[-1] == "embedding"]
        if tied:
            raise ValueError(
                f"merge: a tuned head must not be tied to the token embedding, got "
                f"{'/'.join(tied[0])}. Save the adapter with save_adapter, or tune a model with "
                "tie_word_embeddings=False."
            )
        return self.merged_tree(params)

    def merged_tree(self, params: Params) -> Params:
        """The model's tree with the head's parameters replaced by the adapter's values."""
        return nested({**flat(params[MODEL]), **flat(params[ADAPTER])})


def head_paths(model: LanguageModel) -> list[LeafPath]:
    """The paths of the parameters that the logits depend on, given the hidden states."""
    token = jnp.ones((1, 1), jnp.int32)
    hidden = jax.eval_shape(lambda params: model.hidden(params, token, token)[0], model.params)
    leaves = flat(model.params)
    jaxpr = jax.make_jaxpr(
        lambda leaves, hidden: model.logits(nested(leaves), hidden, None),
    )(jax.eval_shape(lambda: leaves), hidden).jaxpr
    read = {id(operand) for equation in jaxpr.eqns for operand in equation.invars}
    # The inputs are the leaves, then the hidden states.
    *inputs, _ = jaxpr.invars
    return [path for path, x in zip(sorted(leaves), inputs, strict=True) if id(x) in read]
