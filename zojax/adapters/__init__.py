"""A few parameters beside a language model that stays as it is.

Each adapter makes a :class:`zojax.models.LanguageModel` of another one: its parameters are
``{"model": ..., "adapter": ...}``, and ``zojax.select(tx, "adapter/*")`` moves the adapter alone.
"""

from zojax.adapters._adapter import Adapter as Adapter
from zojax.adapters._adapter import merge as merge
from zojax.adapters._files import load_adapter as load_adapter
from zojax.adapters._files import save_adapter as save_adapter
from zojax.adapters._head import HeadTuning as HeadTuning
from zojax.adapters._lora import LoRA as LoRA
from zojax.adapters._prefix import Prefix as Prefix
from zojax.adapters._virtual_tokens import VirtualTokens as VirtualTokens

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
