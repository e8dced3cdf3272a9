"""Names of transformers' classes of models with a head of classes, and how to know such a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CLASSES = {
    "opt": "OPTForSequenceClassification",
    "llama": "LlamaForSequenceClassification",
    "mistral": "MistralForSequenceClassification",
    "qwen2": "Qwen2ForSequenceClassification",
    "qwen3": "Qwen3ForSequenceClassification",
    "gemma2": "Gemma2ForSequenceClassification",
    "gemma3_text": "Gemma3TextForSequenceClassification",
    # Of no library: transformers' RobertaForSequenceClassification has another head.
    "roberta": "ZojaxRobertaWithScore",
}


def class_architecture(model_type: str) -> str:
    """The name of the architecture of a family's model with a head of classes."""
    return _CLASSES[model_type]


def class_labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the classes that a model has a head for, by its ``config.json``; or none."""
    names = config.get("architectures") or []
    if _CLASSES.get(config.get("model_type", "")) not in names:
        return ()
    # transformers leaves the default, two classes, out of the file.
    labels = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    return tuple(labels[key] for key in sorted(labels, key=int))
