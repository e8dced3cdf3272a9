"""Where the weights are of the models whose shapes are known by name."""

from __future__ import annotations

from collections.abc import Mapping

_OPT = ("125m", "350m", "1.3b", "2.7b", "6.7b", "13b", "30b", "66b")

HUB_NAMES: Mapping[str, str | None] = {
    **{f"opt-{size}": f"facebook/opt-{size}" for size in _OPT},
    "opt-175b": None,  # Meta gives its weights out on request
    "roberta-base": "FacebookAI/roberta-base",
    "roberta-large": "FacebookAI/roberta-large",
    "llama-2-7b": "meta-llama/Llama-2-7b-hf",
    "llama-2-13b": "meta-llama/Llama-2-13b-hf",
    "llama-3.1-8b": "meta-llama/Llama-3.1-8B",
    "llama-3.2-1b": "meta-llama/Llama-3.2-1B",
    "llama-3.2-3b": "meta-llama/Llama-3.2-3B",
    "mistral-7b": "mistralai/Mistral-7B-v0.1",
    "qwen2.5-0.5b": "Qwen/Qwen2.5-0.5B",
    "qwen2.5-7b": "Qwen/Qwen2.5-7B",
    "qwen3-0.6b": "Qwen/Qwen3-0.6B",
    "qwen3-8b": "Qwen/Qwen3-8B",
    "gemma-2-2b": "google/gemma-2-2b",
    "gemma-3-270m": "google/gemma-3-270m",
    "gemma-3-1b": "google/gemma-3-1b-pt",
}
"""Names on the Hugging Face hub; None for a model that is not there."""
