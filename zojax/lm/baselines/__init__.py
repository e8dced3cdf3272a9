"""What a tuned model is compared with: no tuning at all, and a linear model of hidden states.

Each takes the configuration of a fine-tuning run and reads the same model, splits and prompts.
Head tuning and the first-order optimizers, with and without adapters, are settings of
:func:`zojax.lm.training.finetune`.
"""

from zojax.lm.baselines._in_context import in_context as in_context
from zojax.lm.baselines._linear_probe import linear_probe as linear_probe
from zojax.lm.baselines._measured import Measured as Measured
from zojax.lm.baselines._zero_shot import zero_shot as zero_shot

__all__ = ["Measured", "in_context", "linear_probe", "zero_shot"]
