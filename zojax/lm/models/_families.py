"""The families: how to read each one's configuration.

The settings and their defaults are those of transformers' classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from zojax.lm.models._architecture import ACTIVATIONS, TransformerConfig
from zojax.lm.models._config import ModelConfig, Settings
from zojax.lm.models._family_names import GATED, GEMMA, OPT, ROBERTA
from zojax.lm.models._rope_settings import one_spelling
from zojax.lm.models._rotary import Rotary, rotary


@dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes:
      kind: ``"causal"`` or ``"masked"``.
      architecture: transformers' class of the model with its language-modelling head.
      read: Reads the configuration.
      modules: Paths of modules -> their names in transformers' PyTorch model, with ``{}`` for the
        number of the layer.
      base: transformers' name of the model without its head, which begins most names.
      tied_head: Names of the head's kernel, which some files repeat although it is tied.
      untied: Names of tensors, each with a second one: where the head is not tied, transformers 5
        reads the second one, and version 4 takes both for one.
    """

    kind: Literal["causal", "masked"]
    architecture: str
    read: Callable[[Settings], TransformerConfig]
    modules: Mapping[str, str]
    base: str = "model"
    tied_head: tuple[str, ...] = ("lm_head.weight",)
    untied: tuple[tuple[str, str], ...] = ()

    def config(self, config: ModelConfig) -> TransformerConfig:
        """Read a configuration.

        Raises:
          ValueError: A setting is missing, unknown or not supported.
        """
        settings = Settings(config.values, config.source)
        found = self.read(settings)
        settings.check()
        if found.activation not in ACTIVATIONS:
            raise ValueError(
                f"load: the activation function must be one of {', '.join(ACTIVATIONS)}, got "
                f"{found.activation!r} in {config.source}. Choose another model."
            )
        return found


def _decoder(s: Settings, **others: Any) -> TransformerConfig:
    """What LLaMA, Mistral, Qwen and Gemma share."""
    hidden, heads = s["hidden_size"], s["num_attention_heads"]
    head_dim = others.pop("head_dim", None) or s.get("head_dim", hidden // heads)
    shared: dict[str, Any] = dict(
        vocab_size=s["vocab_size"],
        hidden_size=hidden,
        num_layers=s["num_hidden_layers"],
        num_heads=heads,
        num_kv_heads=s.get("num_key_value_heads", heads),
        head_dim=head_dim,
        mlp_size=s["intermediate_size"],
        max_length=s["max_position_embeddings"],
        norm="rms",
        norm_eps=s.get("rms_norm_eps", 1e-6),
        attention_scale=head_dim**-0.5,
        embed_size=hidden,
        gated=True,
    )
    if "rotary" not in others:
        shared["rotary"] = _rotary(s, head_dim)
    if "activation" not in others:
        shared["activation"] = s.get("hidden_act", "silu")
    if "tied" not in others:
        shared["tied"] = s.get("tie_word_embeddings", False)
    return TransformerConfig(**{**shared, **others})


def _rotary(s: Settings, head_dim: int) -> Rotary:
    s.require("partial_rotary_factor", 1.0)
    old = {"rope_theta": s.get("rope_theta"), **s.get("rope_scaling", {})}
    settings = one_spelling(old, s.get("rope_parameters", {}), 1e4, s.source)
    return rotary(settings, head_dim, s["max_position_embeddings"], s.source)


def _llama(s: Settings) -> TransformerConfig:
    biases = s.get("attention_bias", False)
    return _decoder(s, qkv_bias=biases, output_bias=biases, mlp_bias=s.get("mlp_bias", False))


def _mistral(s: Settings) -> TransformerConfig:
    layers, window = s["num_hidden_layers"], s.nullable("sliding_window", 4096)
    s.skip("layer_types")
    return _decoder(s, sliding=(window is not None,) * layers, window=window or 0)


def _qwen2(s: Settings) -> TransformerConfig:
    return _decoder(s, qkv_bias=True, **_qwen_window(s))


def _qwen3(s: Settings) -> TransformerConfig:
    biases = s.get("attention_bias", False)
    head_dim = s.get("head_dim", 128)
    return _decoder(
        s, head_dim=head_dim, qk_norm=True, qkv_bias=biases, output_bias=biases, **_qwen_window(s)
    )


def _qwen_window(s: Settings) -> dict[str, Any]:
    """From layer ``max_window_layers`` on, layers slide, if any do."""
    first, window = s.get("max_window_layers", 28), s.get("sliding_window", 4096)
    if not s.get("use_sliding_window", False):
        s.skip("layer_types")
        return {}
    numbers = range(s["num_hidden_layers"])
    return dict(sliding=_sliding(s, [i >= first for i in numbers]), window=window)


def _sliding(s: Settings, default: list[bool]) -> tuple[bool, ...]:
    """Read which layers slide."""
    types = s.get("layer_types")
    if types is None:
        return tuple(default)
    unknown = sorted({*types} - {"sliding_attention", "full_attention"})
    if unknown or len(types) < len(default):
        raise ValueError(
            f"load: layer_types must be sliding_attention or full_attention for each of the "
            f"{len(default)} layers, got {types} in {s.source}."
        )
    return tuple(kind == "sliding_attention" for kind in types[: len(default)])


def _gemma(s: Settings, sliding: tuple[bool, ...], **others: Any) -> TransformerConfig:
    biases = s.get("attention_bias", False)
    s.skip("hidden_act")  # transformers reads hidden_activation alone
    return dataclasses.replace(
        _decoder(
            s,
            head_dim=s.get("head_dim", 256),
            activation=s.get("hidden_activation", "gelu_pytorch_tanh"),
            tied=s.get("tie_word_embeddings", True),
            **others,
        ),
        norm="rms+1",
        norm_order="sandwich",
        qkv_bias=biases,
        output_bias=biases,
        embed_scale=float(s["hidden_size"]) ** 0.5,
        attention_scale=float(s.get("query_pre_attn_scalar", 256)) ** -0.5,
        sliding=sliding,
        window=s.get("sliding_window", 4096),
    )


def _gemma2(s: Settings) -> TransformerConfig:
    s.require("use_bidirectional_attention", False)
    even = [i % 2 == 0 for i in range(s["num_hidden_layers"])]
    return _gemma(
        s,
        _sliding(s, even),
        attention_softcap=s.nullable("attn_logit_softcapping", 50.0),
        logit_softcap=s.nullable("final_logit_softcapping", 30.0),
    )


def _gemma3(s: Settings) -> TransformerConfig:
    s.require("use_bidirectional_attention", False)
    pattern = s.get("sliding_window_pattern", s.get("_sliding_window_pattern", 6))
    head_dim = s.get("head_dim", 256)
    layers, longest = s["num_hidden_layers"], s["max_position_embeddings"]
    new = s.get("rope_parameters", {})
    old = {"rope_theta": s.get("rope_theta"), **s.get("rope_scaling", {})}
    full = one_spelling(old, new.get("full_attention", {}), 1e6, s.source)
    old = {"rope_theta": s.get("rope_local_base_freq")}
    local = one_spelling(old, new.get("sliding_attention", {}), 1e4, s.source)
    return _gemma(
        s,
        _sliding(s, [(i + 1) % pattern != 0 for i in range(layers)]),
        qk_norm=True,
        rotary=rotary(full, head_dim, longest, s.source),
        local_rotary=rotary(local, head_dim, longest, s.source),
        attention_softcap=s.get("attn_logit_softcapping"),
        logit_softcap=s.get("final_logit_softcapping"),
    )


def _opt(s: Settings) -> TransformerConfig:
    s.require("enable_bias", True)
    s.require("layer_norm_elementwise_affine", True)
    hidden, heads, longest = (
        s["hidden_size"],
        s["num_attention_heads"],
        s["max_position_embeddings"],
    )
    before, no_final = s.get("do_layer_norm_before", True), s.get("_remove_final_layer_norm", False)
    return TransformerConfig(
        vocab_size=s["vocab_size"],
        hidden_size=hidden,
        num_layers=s["num_hidden_layers"],
        num_heads=heads,
        num_kv_heads=heads,
        head_dim=hidden // heads,
        mlp_size=s["ffn_dim"],
        max_length=longest,
        activation=s.get("activation_function", "relu"),
        norm="layer",
        norm_eps=1e-5,
        attention_scale=(hidden // heads) ** -0.5,
        embed_size=s.get("word_embed_proj_dim", hidden),
        tied=s.get("tie_word_embeddings", True),
        norm_order="pre" if before else "post",
        final_norm=before and not no_final,
        qkv_bias=True,
        output_bias=True,
        mlp_bias=True,
        # Two rows that no token has come before; padding has row 1.
        position_rows=longest + 2,
        position_offset=1,
    )


def _roberta(s: Settings) -> TransformerConfig:
    s.require("position_embedding_type", "absolute")
    s.require("is_decoder", False)
    s.require("add_cross_attention", False)
    hidden, heads, padding = s["hidden_size"], s["num_attention_heads"], s.get("pad_token_id", 1)
    rows = s.get("max_position_embeddings", 512)
    return TransformerConfig(
        vocab_size=s["vocab_size"],
        hidden_size=hidden,
        num_layers=s["num_hidden_layers"],
        num_heads=heads,
        num_kv_heads=heads,
        head_dim=hidden // heads,
        mlp_size=s["intermediate_size"],
        max_length=rows - padding - 1,
        activation=s.get("hidden_act", "gelu"),
        norm="layer",
        norm_eps=s.get("layer_norm_eps", 1e-12),
        attention_scale=(hidden // heads) ** -0.5,
        embed_size=hidden,
        tied=s.get("tie_word_embeddings", True),
        norm_order="post",
        final_norm=False,
        embed_norm=True,
        causal=False,
        masked_head=True,
        qkv_bias=True,
        output_bias=True,
        mlp_bias=True,
        position_rows=rows,
        position_offset=padding,
        token_types=s.get("type_vocab_size", 2),
    )


FAMILIES: dict[str, Family] = {
    "opt": Family("causal", "OPTForCausalLM", _opt, OPT),
    "roberta": Family(
        "masked",
        "RobertaForMaskedLM",
        _roberta,
        ROBERTA,
        base="roberta",
        tied_head=("lm_head.decoder.weight",),
        untied=(("lm_head.bias", "lm_head.decoder.bias"),),
    ),
    "llama": Family("causal", "LlamaForCausalLM", _llama, GATED),
    "mistral": Family("causal", "MistralForCausalLM", _mistral, GATED),
    "qwen2": Family("causal", "Qwen2ForCausalLM", _qwen2, GATED),
    "qwen3": Family("causal", "Qwen3ForCausalLM", _qwen3, GATED),
    "gemma2": Family("causal", "Gemma2ForCausalLM", _gemma2, GEMMA),
    "gemma3_text": Family("causal", "Gemma3ForCausalLM", _gemma3, GEMMA),
}
"""transformers' ``model_type`` -> the family."""


def family(model_type: str, source: str) -> Family:
    """Return the family of a ``model_type``.

    Raises:
      ValueError: It is none of ``FAMILIES``.
    """
    if model_type not in FAMILIES:
        raise ValueError(
            f"load: the model's family must be one of {', '.join(FAMILIES)}, got "
            f"model_type {model_type!r} in {source}. Choose a model of a supported family."
        )
    return FAMILIES[model_type]
