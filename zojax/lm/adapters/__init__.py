"""A few parameters beside a language model that stays as it is.

Each adapter makes a :class:`zojax.lm.models.LanguageModel` of another one: its parameters are
``{"model": ..., "adapter": ...}``, and ``zojax.select(tx, "adapter/*")`` moves the adapter alone.
"""

from zojax.lm.adapters._adapter import Adapter as Adapter
from zojax.lm.adapters._adapter import merge as merge
from zojax.lm.adapters._files import load_adapter as load_adapter
from zojax.lm.adapters._files import save_adapter as save_adapter
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
]
