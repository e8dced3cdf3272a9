"""Fine-tuning runs: configuration, the loop, the run folder.

``__all__`` lists what a run needs. The other names are the parts of a run; baselines, comparisons
and benchmarks, which measure or train in other ways, use them too.
"""

from zojax.lm.settings import AdapterConfig as AdapterConfig
from zojax.lm.settings import AdapterName as AdapterName
from zojax.lm.settings import DataConfig as DataConfig
from zojax.lm.settings import DataKind as DataKind
from zojax.lm.settings import FinetuneConfig as FinetuneConfig
from zojax.lm.settings import HyperParameters as HyperParameters
from zojax.lm.settings import Implementation as Implementation
from zojax.lm.settings import OptimizerName as OptimizerName
from zojax.lm.settings import RewardConfig as RewardConfig
from zojax.lm.training._data import Prepared as Prepared
from zojax.lm.training._data import load_data as load_data
from zojax.lm.training._data import prepare as prepare
from zojax.lm.training._defaults import DEFAULTS as DEFAULTS
from zojax.lm.training._defaults import WITH_ADAPTER as WITH_ADAPTER
from zojax.lm.training._defaults import WITH_ADAPTER_OPTIMIZERS as WITH_ADAPTER_OPTIMIZERS
from zojax.lm.training._evaluate_run import evaluate_run as evaluate_run
from zojax.lm.training._evaluation import CompiledTotals as CompiledTotals
from zojax.lm.training._evaluation import Confusion as Confusion
from zojax.lm.training._evaluation import Evaluation as Evaluation
from zojax.lm.training._evaluation import Measured as Measured
from zojax.lm.training._evaluation import Scores as Scores
from zojax.lm.training._evaluation import evaluate as evaluate
from zojax.lm.training._export import export_run as export_run
from zojax.lm.training._finetune import finetune as finetune
from zojax.lm.training._kind import columns_of as columns_of
from zojax.lm.training._kind import sequence_kind as sequence_kind
from zojax.lm.training._loop import Tick as Tick
from zojax.lm.training._measured_batches import to_measure as to_measure
from zojax.lm.training._observer import Observer as Observer
from zojax.lm.training._optimizer import make_optimizer as make_optimizer
from zojax.lm.training._options import configure as configure
from zojax.lm.training._passes import passes_of_a_step as passes_of_a_step
from zojax.lm.training._rate import first_length as first_length
from zojax.lm.training._rate import is_in_unit as is_in_unit
from zojax.lm.training._rate import usual_schedule as usual_schedule
from zojax.lm.training._reader import NonFiniteLossError as NonFiniteLossError
from zojax.lm.training._replay_run import Replayed as Replayed
from zojax.lm.training._replay_run import replay_run as replay_run
from zojax.lm.training._report import DataReport as DataReport
from zojax.lm.training._resolve import resolve as resolve
from zojax.lm.training._result import Result as Result
from zojax.lm.training._reward_data import RewardReport as RewardReport
from zojax.lm.training._reward_totals import totals_of as totals_of
from zojax.lm.training._run_folder import EVALUATIONS as EVALUATIONS
from zojax.lm.training._run_folder import load_config as load_config
from zojax.lm.training._run_folder import versions as versions
from zojax.lm.training._saved import Saved as Saved
from zojax.lm.training._saved import Which as Which
from zojax.lm.training._saved import load_from_run as load_from_run
from zojax.lm.training._sequence_report import SequenceReport as SequenceReport
from zojax.lm.training._step import CompiledByShape as CompiledByShape
from zojax.lm.training._step import make_step as make_step
from zojax.lm.training._tensorboard import TensorBoard as TensorBoard
from zojax.lm.training._tuned import Tuned as Tuned
from zojax.lm.training._tuned import load_model as load_model
from zojax.lm.training._tuned import load_to_tune as load_to_tune

__all__ = [
    "AdapterConfig",
    "Confusion",
    "DataConfig",
    "DataReport",
    "Evaluation",
    "FinetuneConfig",
    "HyperParameters",
    "NonFiniteLossError",
    "Observer",
    "Replayed",
    "Result",
    "RewardConfig",
    "RewardReport",
    "Scores",
    "SequenceReport",
    "TensorBoard",
    "Tick",
    "evaluate_run",
    "export_run",
    "finetune",
    "load_config",
    "replay_run",
]
