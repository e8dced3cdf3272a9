"""Language models for zeroth-order tuning: transformers' Flax models as ``(params, apply)``."""

from zojax.lm.models._language_model import LanguageModel as LanguageModel
from zojax.lm.models._load import load as load

__all__ = ["LanguageModel", "load"]
