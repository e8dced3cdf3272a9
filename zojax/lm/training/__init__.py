"""Fine-tuning runs: configuration, the loop, the run folder."""

from zojax.lm.training._config import AdapterConfig as AdapterConfig
from zojax.lm.training._config import DataConfig as DataConfig
from zojax.lm.training._config import FinetuneConfig as FinetuneConfig
from zojax.lm.training._config import HyperParameters as HyperParameters
from zojax.lm.training._evaluation import Scores as Scores
from zojax.lm.training._finetune import Result as Result
from zojax.lm.training._finetune import evaluate_run as evaluate_run
from zojax.lm.training._finetune import finetune as finetune
from zojax.lm.training._loop import Tick as Tick
from zojax.lm.training._observer import Observer as Observer
from zojax.lm.training._reader import NonFiniteLossError as NonFiniteLossError
from zojax.lm.training._replay_run import Replayed as Replayed
from zojax.lm.training._replay_run import replay_run as replay_run
from zojax.lm.training._run_folder import load_config as load_config

__all__ = [
    "AdapterConfig",
    "DataConfig",
    "FinetuneConfig",
    "HyperParameters",
    "NonFiniteLossError",
    "Observer",
    "Replayed",
    "Result",
    "Scores",
    "Tick",
    "evaluate_run",
    "finetune",
    "load_config",
    "replay_run",
]
