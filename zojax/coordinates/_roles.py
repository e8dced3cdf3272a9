"""Whether a parameter lies before a model's layers or after them, from its name."""

import re
from collections.abc import Sequence
from typing import Literal

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

# Words of a name: lm_head is "lm" and "head", LayerNorm "layer" and "norm".
BEFORE = {
    *("embed", "embedding", "embeddings", "emb", "wte", "wpe", "token", "tokens"),
    *("in", "input", "inputs"),
}
AFTER = {
    *("head", "heads", "classifier", "pooler", "score", "cls", "logits", "unembed"),
    *("final", "last", "out", "output", "outputs"),
}
# A norm is the final one, unless an embedding's name is on its path.
NORM = {"norm", "layernorm", "rmsnorm", "ln"}


def role(names: Sequence[str]) -> Literal["before", "after"] | None:
    """The role that the first known name of a path gives it; None if there is none, or two.

    ``embeddings/LayerNorm`` comes before, ``lm_head/dense`` after; ``embed_out`` could be either.
    The number of ``LayerNorm_0`` says when it was made and not where it is applied, so that
    nothing but the name of an embedding tells if it has one.
    """
    for name in names:
        words = {word.lower() for word in WORD.findall(name)}
        before, after = bool(words & BEFORE), bool(words & AFTER)
        numbered = any(character.isdigit() for character in name)
        if before and after:
            return None
        if before:
            return "before"
        if numbered:
            return None
        if after or words & NORM:
            return "after"
    return None
