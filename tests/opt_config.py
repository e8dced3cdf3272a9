"""Configurations of small OPTs, for tests that plan."""

from __future__ import annotations

import json
from pathlib import Path


def sizes(hidden: int) -> dict[str, int]:
    return {"hidden_size": hidden, "ffn_dim": 4 * hidden, "word_embed_proj_dim": hidden}


def write_config(folder: Path, name: str = "config.json", **changes: int) -> Path:
    settings = {
        "model_type": "opt",
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "vocab_size": 256,
        "max_position_embeddings": 128,
        **sizes(64),
        **changes,
    }
    path = folder / name
    path.write_text(json.dumps(settings))
    return path
