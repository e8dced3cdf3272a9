"""The names of each family's modules in transformers' PyTorch models.

Paths of modules of :class:`Transformer`, with ``layers`` for any layer, -> their names, with ``{}``
for the number of the layer.
"""

from __future__ import annotations

_PROJECTIONS = {
    f"layers/{path}": f"model.layers.{{}}.{path.replace('/', '.')}"
    for path in (
        *(f"self_attn/{name}" for name in ("q_proj", "k_proj", "v_proj", "o_proj")),
        *(f"mlp/{name}" for name in ("gate_proj", "up_proj", "down_proj")),
        *("self_attn/q_norm", "self_attn/k_norm"),
    )
}
GATED = {
    "embed_tokens": "model.embed_tokens",
    "layers/attn_norm": "model.layers.{}.input_layernorm",
    "layers/mlp_norm": "model.layers.{}.post_attention_layernorm",
    **_PROJECTIONS,
    "norm": "model.norm",
    "lm_head": "lm_head",
    "score": "score",
}
GEMMA = {
    **GATED,
    "layers/attn_out_norm": "model.layers.{}.post_attention_layernorm",
    "layers/mlp_norm": "model.layers.{}.pre_feedforward_layernorm",
    "layers/mlp_out_norm": "model.layers.{}.post_feedforward_layernorm",
}
OPT = {
    "embed_tokens": "model.decoder.embed_tokens",
    "embed_positions": "model.decoder.embed_positions",
    "project_in": "model.decoder.project_in",
    "project_out": "model.decoder.project_out",
    "layers/attn_norm": "model.decoder.layers.{}.self_attn_layer_norm",
    "layers/self_attn/q_proj": "model.decoder.layers.{}.self_attn.q_proj",
    "layers/self_attn/k_proj": "model.decoder.layers.{}.self_attn.k_proj",
    "layers/self_attn/v_proj": "model.decoder.layers.{}.self_attn.v_proj",
    "layers/self_attn/o_proj": "model.decoder.layers.{}.self_attn.out_proj",
    "layers/mlp_norm": "model.decoder.layers.{}.final_layer_norm",
    "layers/mlp/up_proj": "model.decoder.layers.{}.fc1",
    "layers/mlp/down_proj": "model.decoder.layers.{}.fc2",
    "norm": "model.decoder.final_layer_norm",
    "lm_head": "lm_head",
    "score": "score",
}
ROBERTA = {
    "embed_tokens": "roberta.embeddings.word_embeddings",
    "embed_positions": "roberta.embeddings.position_embeddings",
    "embed_types": "roberta.embeddings.token_type_embeddings",
    "embed_norm": "roberta.embeddings.LayerNorm",
    "layers/self_attn/q_proj": "roberta.encoder.layer.{}.attention.self.query",
    "layers/self_attn/k_proj": "roberta.encoder.layer.{}.attention.self.key",
    "layers/self_attn/v_proj": "roberta.encoder.layer.{}.attention.self.value",
    "layers/self_attn/o_proj": "roberta.encoder.layer.{}.attention.output.dense",
    "layers/attn_norm": "roberta.encoder.layer.{}.attention.output.LayerNorm",
    "layers/mlp/up_proj": "roberta.encoder.layer.{}.intermediate.dense",
    "layers/mlp/down_proj": "roberta.encoder.layer.{}.output.dense",
    "layers/mlp_norm": "roberta.encoder.layer.{}.output.LayerNorm",
    "lm_head/dense": "lm_head.dense",
    "lm_head/layer_norm": "lm_head.layer_norm",
    "lm_head": "lm_head",
    "score": "score",
    "lm_head/kernel": "lm_head.decoder",
}
