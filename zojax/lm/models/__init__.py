"""Language models for zeroth-order tuning, as ``(params, apply)``.

One scanned :class:`Transformer` computes all families: OPT, LLaMA, Mistral, Qwen, Gemma, RoBERTa.

:func:`workload` gives the shapes and the loss of a model without its weights, for
:mod:`zojax.planning`.
"""

from zojax.lm.models._class_architectures import class_labels as class_labels
from zojax.lm.models._class_head import SCORE as SCORE
from zojax.lm.models._class_head import features_of as features_of
from zojax.lm.models._class_head import scored as scored
from zojax.lm.models._class_head import with_score as with_score
from zojax.lm.models._class_head import without_score as without_score
from zojax.lm.models._config import ModelConfig as ModelConfig
from zojax.lm.models._config import check_heads as check_heads
from zojax.lm.models._input import ModelInput as ModelInput
from zojax.lm.models._input import load_input as load_input
from zojax.lm.models._known import MODELS as MODELS
from zojax.lm.models._known import OPT_MODELS as OPT_MODELS
from zojax.lm.models._known import model_config as model_config
from zojax.lm.models._language_model import Cache as Cache
from zojax.lm.models._language_model import InitCache as InitCache
from zojax.lm.models._language_model import LanguageModel as LanguageModel
from zojax.lm.models._language_model import Params as Params
from zojax.lm.models._load import load as load
from zojax.lm.models._tokenizer import AnyTokenizer as AnyTokenizer
from zojax.lm.models._tokenizer import Tokenizer as Tokenizer
from zojax.lm.models._workload import abstract_model as abstract_model
from zojax.lm.models._workload import workload as workload

__all__ = [
    "MODELS",
    "OPT_MODELS",
    "AnyTokenizer",
    "LanguageModel",
    "ModelInput",
    "Tokenizer",
    "abstract_model",
    "load",
    "load_input",
    "workload",
]
