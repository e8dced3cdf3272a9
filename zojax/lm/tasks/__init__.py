"""Tasks: their prompts and data, the batches made of them, and their objectives.

``__all__`` lists what a task needs. The other names are parts that data without a task use too.
"""

from zojax.lm.tasks._answers import exact_match as exact_match
from zojax.lm.tasks._answers import f1 as f1
from zojax.lm.tasks._answers import normalize_answer as normalize_answer
from zojax.lm.tasks._batches import Decoding as Decoding
from zojax.lm.tasks._batches import Examples as Examples
from zojax.lm.tasks._batches import bucket_lengths as bucket_lengths
from zojax.lm.tasks._batches import decoding_batches as decoding_batches
from zojax.lm.tasks._batches import evaluation_batches as evaluation_batches
from zojax.lm.tasks._batches import training_batches as training_batches
from zojax.lm.tasks._checks import check_ids as check_ids
from zojax.lm.tasks._classes import find_classes as find_classes
from zojax.lm.tasks._classification import Classification as Classification
from zojax.lm.tasks._example import Example as Example
from zojax.lm.tasks._files import file_rows as file_rows
from zojax.lm.tasks._generation import Generation as Generation
from zojax.lm.tasks._metric_objectives import BatchLoss as BatchLoss
from zojax.lm.tasks._metric_objectives import negative_accuracy as negative_accuracy
from zojax.lm.tasks._metric_objectives import negative_f1 as negative_f1
from zojax.lm.tasks._multiple_choice import MultipleChoice as MultipleChoice
from zojax.lm.tasks._objective import Objective as Objective
from zojax.lm.tasks._objective import objective as objective
from zojax.lm.tasks._own_files import Files as Files
from zojax.lm.tasks._own_files import divide as divide
from zojax.lm.tasks._own_files import divide_rows as divide_rows
from zojax.lm.tasks._own_files import read_files as read_files
from zojax.lm.tasks._own_task import own_task as own_task
from zojax.lm.tasks._pieces import Pieces as Pieces
from zojax.lm.tasks._prompt_set import Batch as Batch
from zojax.lm.tasks._prompt_set import PromptSet as PromptSet
from zojax.lm.tasks._prompt_set import View as View
from zojax.lm.tasks._read import read_examples as read_examples
from zojax.lm.tasks._registry import load_task as load_task
from zojax.lm.tasks._registry import task_names as task_names
from zojax.lm.tasks._row import Row as Row
from zojax.lm.tasks._row import RowError as RowError
from zojax.lm.tasks._scores import RowScores as RowScores
from zojax.lm.tasks._scores import Totals as Totals
from zojax.lm.tasks._scores import row_scores as row_scores
from zojax.lm.tasks._splits import SEEDS as SEEDS
from zojax.lm.tasks._splits import at_most as at_most
from zojax.lm.tasks._splits import few_shot as few_shot
from zojax.lm.tasks._splits import hold_out as hold_out
from zojax.lm.tasks._splits import load_splits as load_splits
from zojax.lm.tasks._splits import per_class as per_class
from zojax.lm.tasks._splits import sample_splits as sample_splits
from zojax.lm.tasks._task import Hub as Hub
from zojax.lm.tasks._task import ModelKind as ModelKind
from zojax.lm.tasks._task import Sizes as Sizes
from zojax.lm.tasks._task import Task as Task
from zojax.lm.tasks._task import TaskKind as TaskKind
from zojax.lm.tasks._tokenize import in_context as in_context
from zojax.lm.tasks._tokenize import tokenize as tokenize
from zojax.lm.tasks._tokens import PromptTokens as PromptTokens
from zojax.lm.tasks._tokens import TokenRow as TokenRow
from zojax.lm.tasks._toml import task_from_toml as task_from_toml
from zojax.lm.tasks._wrong_rows import Fixes as Fixes
from zojax.lm.tasks._wrong_rows import refuse_missing as refuse_missing
from zojax.lm.tasks._wrong_rows import refuse_rows as refuse_rows
from zojax.lm.tasks.rotten_tomatoes import rotten_tomatoes as rotten_tomatoes

__all__ = [
    "SEEDS",
    "Batch",
    "BatchLoss",
    "Classification",
    "Decoding",
    "Example",
    "Files",
    "Fixes",
    "Generation",
    "Hub",
    "MultipleChoice",
    "Objective",
    "PromptSet",
    "PromptTokens",
    "Row",
    "RowError",
    "RowScores",
    "Sizes",
    "Task",
    "TaskKind",
    "TokenRow",
    "Totals",
    "at_most",
    "bucket_lengths",
    "decoding_batches",
    "divide",
    "evaluation_batches",
    "exact_match",
    "f1",
    "few_shot",
    "find_classes",
    "hold_out",
    "in_context",
    "load_splits",
    "load_task",
    "negative_accuracy",
    "negative_f1",
    "normalize_answer",
    "objective",
    "own_task",
    "per_class",
    "read_examples",
    "read_files",
    "rotten_tomatoes",
    "row_scores",
    "sample_splits",
    "task_from_toml",
    "task_names",
    "tokenize",
    "training_batches",
]
