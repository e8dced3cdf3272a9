"""Language models for zeroth-order tuning: transformers' Flax models as ``(params, apply)``."""

from zojax.lm.models._language_model import Cache as Cache
from zojax.lm.models._language_model import InitCache as InitCache
from zojax.lm.models._language_model import LanguageModel as LanguageModel
from zojax.lm.models._language_model import Params as Params
from zojax.lm.models._load import load as load

__all__ = ["LanguageModel", "load"]
