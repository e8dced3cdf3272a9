"""Baselines for tuned models: zero-shot, in-context learning, and linear probing.

Each takes the configuration of a fine-tuning run, and uses the same model, splits and prompts. Head
tuning and first-order optimizers, with and without adapters, are baselines too, but as settings of
:func:`zojax.lm.training.finetune`.
"""

from zojax.lm.baselines._in_context import in_context as in_context
from zojax.lm.baselines._linear_probe import linear_probe as linear_probe
from zojax.lm.baselines._measured import Measured as Measured
from zojax.lm.baselines._zero_shot import zero_shot as zero_shot

__all__ = ["Measured", "in_context", "linear_probe", "zero_shot"]
