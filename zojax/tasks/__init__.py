"""Tasks: their prompts, their data, the batches they make, and the objectives."""

from zojax.tasks._answers import exact_match as exact_match
from zojax.tasks._answers import f1 as f1
from zojax.tasks._answers import normalize_answer as normalize_answer
from zojax.tasks._batches import Decoding as Decoding
from zojax.tasks._batches import bucket_lengths as bucket_lengths
from zojax.tasks._batches import decoding_batches as decoding_batches
from zojax.tasks._batches import evaluation_batches as evaluation_batches
from zojax.tasks._batches import training_batches as training_batches
from zojax.tasks._classification import Classification as Classification
from zojax.tasks._example import Example as Example
from zojax.tasks._generation import Generation as Generation
from zojax.tasks._metric_objectives import BatchLoss as BatchLoss
from zojax.tasks._metric_objectives import negative_accuracy as negative_accuracy
from zojax.tasks._metric_objectives import negative_f1 as negative_f1
from zojax.tasks._multiple_choice import MultipleChoice as MultipleChoice
from zojax.tasks._objective import Objective as Objective
from zojax.tasks._objective import objective as objective
from zojax.tasks._prompt_set import Batch as Batch
from zojax.tasks._prompt_set import PromptSet as PromptSet
from zojax.tasks._read import read_examples as read_examples
from zojax.tasks._registry import load_task as load_task
from zojax.tasks._registry import task_names as task_names
from zojax.tasks._row import Row as Row
from zojax.tasks._scores import RowScores as RowScores
from zojax.tasks._scores import Totals as Totals
from zojax.tasks._scores import row_scores as row_scores
from zojax.tasks._splits import SEEDS as SEEDS
from zojax.tasks._splits import at_most as at_most
from zojax.tasks._splits import few_shot as few_shot
from zojax.tasks._splits import hold_out as hold_out
from zojax.tasks._splits import load_splits as load_splits
from zojax.tasks._splits import per_class as per_class
from zojax.tasks._task import Hub as Hub
from zojax.tasks._task import Sizes as Sizes
from zojax.tasks._task import Task as Task
from zojax.tasks._tokenize import in_context as in_context
from zojax.tasks._tokenize import tokenize as tokenize
from zojax.tasks._tokens import PromptTokens as PromptTokens
from zojax.tasks._tokens import TokenRow as TokenRow
from zojax.tasks._toml import task_from_toml as task_from_toml
from zojax.tasks.rotten_tomatoes import rotten_tomatoes as rotten_tomatoes

__all__ = [
    "SEEDS",
    "Batch",
    "BatchLoss",
    "Classification",
    "Decoding",
    "Example",
    "Generation",
    "Hub",
    "MultipleChoice",
    "Objective",
    "PromptSet",
    "PromptTokens",
    "Row",
    "RowScores",
    "Sizes",
    "Task",
    "TokenRow",
    "Totals",
    "at_most",
    "bucket_lengths",
    "decoding_batches",
    "evaluation_batches",
    "exact_match",
    "f1",
    "few_shot",
    "hold_out",
    "in_context",
    "load_splits",
    "load_task",
    "negative_accuracy",
    "negative_f1",
    "normalize_answer",
    "objective",
    "per_class",
    "read_examples",
    "rotten_tomatoes",
    "row_scores",
    "task_from_toml",
    "task_names",
    "tokenize",
    "training_batches",
]
