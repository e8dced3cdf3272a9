"""Adapters: a few trainable parameters added to a frozen language model.

Each adapter turns a :class:`zojax.lm.models.LanguageModel` into another one, whose parameters are
``{"model": ..., "adapter": ...}``; ``zojax.select(tx, "adapter/*")`` trains the adapter alone.
"""

from zojax.lm.adapters._adapter import Adapter as Adapter
from zojax.lm.adapters._adapter import merge as merge
from zojax.lm.adapters._files import load_adapter as load_adapter
from zojax.lm.adapters._files import save_adapter as save_adapter
from zojax.lm.adapters._files import save_peft as save_peft
from zojax.lm.adapters._head import HeadTuning as HeadTuning
from zojax.lm.adapters._lora import LoRA as LoRA
from zojax.lm.adapters._prefix import Prefix as Prefix
from zojax.lm.adapters._virtual_tokens import VirtualTokens as VirtualTokens

__all__ = [
    "Adapter",
    "HeadTuning",
    "LoRA",
    "Prefix",
    "VirtualTokens",
    "load_adapter",
    "merge",
    "save_adapter",
    "save_peft",
]
