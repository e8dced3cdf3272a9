"""What a run is asked for: dataclasses of options, which import nothing but the standard library.

The command line is made from them, so its help and its refusals do not wait for jax.
"""

from zojax.lm.settings._config import DEFAULT_STEPS as DEFAULT_STEPS
from zojax.lm.settings._config import NEVER_OVER_INTEGERS as NEVER_OVER_INTEGERS
from zojax.lm.settings._config import OF_SCALES as OF_SCALES
from zojax.lm.settings._config import START_NAMES as START_NAMES
from zojax.lm.settings._config import FinetuneConfig as FinetuneConfig
from zojax.lm.settings._data_config import DataConfig as DataConfig
from zojax.lm.settings._data_config import DataKind as DataKind
from zojax.lm.settings._data_config import at_least_one as at_least_one
from zojax.lm.settings._data_config import check_kind as check_kind
from zojax.lm.settings._names import AdapterName as AdapterName
from zojax.lm.settings._names import Bits as Bits
from zojax.lm.settings._names import DirectionName as DirectionName
from zojax.lm.settings._names import Implementation as Implementation
from zojax.lm.settings._names import LayoutName as LayoutName
from zojax.lm.settings._names import LogDtype as LogDtype
from zojax.lm.settings._names import ModelDtype as ModelDtype
from zojax.lm.settings._names import NonFinite as NonFinite
from zojax.lm.settings._names import ObjectiveName as ObjectiveName
from zojax.lm.settings._names import OptimizerName as OptimizerName
from zojax.lm.settings._names import OutputFormat as OutputFormat
from zojax.lm.settings._names import Parallel as Parallel
from zojax.lm.settings._names import SlopeRuleName as SlopeRuleName
from zojax.lm.settings._names import TextFormat as TextFormat
from zojax.lm.settings._reward_config import RewardConfig as RewardConfig
from zojax.lm.settings._reward_config import check_completions as check_completions
from zojax.lm.settings._tuned_config import AdapterConfig as AdapterConfig
from zojax.lm.settings._tuned_config import HyperParameters as HyperParameters

__all__ = ["AdapterConfig", "DataConfig", "FinetuneConfig", "HyperParameters", "RewardConfig"]
