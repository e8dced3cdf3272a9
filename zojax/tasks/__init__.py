"""Text classification by prompts: examples, prompts, batches, and the objective."""

from zojax.tasks._batches import Batch as Batch
from zojax.tasks._batches import PromptSet as PromptSet
from zojax.tasks._batches import bucket_lengths as bucket_lengths
from zojax.tasks._batches import evaluation_batches as evaluation_batches
from zojax.tasks._batches import training_batches as training_batches
from zojax.tasks._classification import Classification as Classification
from zojax.tasks._prompt import Prompt as Prompt
from zojax.tasks._prompt import PromptTokens as PromptTokens
from zojax.tasks._prompt import tokenize as tokenize
from zojax.tasks._read import hold_out as hold_out
from zojax.tasks._read import per_class as per_class
from zojax.tasks._read import read_examples as read_examples
from zojax.tasks.rotten_tomatoes import Example as Example
from zojax.tasks.rotten_tomatoes import rotten_tomatoes as rotten_tomatoes

__all__ = [
    "Batch",
    "Classification",
    "Example",
    "Prompt",
    "PromptSet",
    "PromptTokens",
    "bucket_lengths",
    "evaluation_batches",
    "hold_out",
    "per_class",
    "read_examples",
    "rotten_tomatoes",
    "tokenize",
    "training_batches",
]
