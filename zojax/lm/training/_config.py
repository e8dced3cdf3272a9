"""What a fine-tuning run is made of: everything needed to run it again.

The command line is made from these classes: an attribute is an option, its text the help.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from zojax.directions import DirectionName
from zojax.lm.processes import Parallel
from zojax.slope_rules import SlopeRuleName

OptimizerName = Literal[
    "zo_adamu",
    "mezo",
    "zo_sgd_sign",
    "zo_sgd_momentum",
    "zo_sgd_conservative",
    "zo_sgd_blockwise",
    "zo_adam",
    "zo_adamm",
    "forward_gradient_sgd",
    "adam",
    "sgd",
]


AdapterName = Literal["none", "lora", "prefix", "virtual_tokens", "head"]
ModelDtype = Literal["float32", "bfloat16", "float16"]
NonFinite = Literal["stop", "skip"]
LogDtype = Literal["float32", "bfloat16"]

ObjectiveName = Literal["loss", "accuracy", "f1"]
# They follow derivatives, and a metric's is zero wherever it has one.
_NEED_DERIVATIVES = ("adam", "sgd", "forward_gradient_sgd")


@dataclass(frozen=True)
class DataConfig:
    """The texts, and how they become prompts."""

    task: str | None = None
    """A task's name, such as sst2 or boolq, or a TOML file; without one, texts and labels."""
    train: Path | None = None
    """The training rows, CSV, JSONL or Parquet; without a file, those of the task's own data."""
    dev: Path | None = None
    """The same for choosing the best step; without one, some of the training rows."""
    test: Path | None = None
    """The same for the final accuracy; needed with --train."""
    label_names: tuple[str, ...] | None = None
    """The classes' names in the files, class 0 first; without them, the label words."""
    template: str | None = None
    """In place of the task's prompt; {text}, say, and {label}, at the end for a causal model."""
    label_words: tuple[str, ...] | None = None
    """What stands for each class in {label}, class 0 first."""
    bare: bool = False
    """Leave the template's words out: the text, then the label word."""
    max_length: int = 64
    """Most tokens of a prompt; the text is cut, never the template."""
    k_shot: int | None = None
    """Training examples of each class, and as many dev examples."""
    train_size: int | None = None
    """Most training examples; without it, the task's own number, or all rows of your files."""
    dev_size: int | None = None
    """Most dev examples; without it, the task's own number, mostly 500."""
    test_size: int | None = None
    """Most test examples; without it, the task's own number, mostly 1000."""
    num_buckets: int = 2
    """Padded lengths of a batch, each a compilation."""


@dataclass(frozen=True)
class AdapterConfig:
    """What is tuned; settings that are not given take the adapter's own default."""

    adapter: AdapterName = "none"
    """none tunes all parameters; the others tune a few beside the model, which stays as it is."""
    rank: int | None = None
    """Columns of each low-rank product (lora)."""
    alpha: float | None = None
    """Scale of each product, times the rank (lora)."""
    targets: tuple[str, ...] | None = None
    """Names of the dense modules that get one; without them, queries and values (lora)."""
    length: int | None = None
    """Positions (prefix, virtual_tokens)."""
    init: Literal["tokens", "random"] | None = None
    """Where the first values come from (virtual_tokens)."""


@dataclass(frozen=True)
class HyperParameters:
    """The optimizer's settings; what is not given takes the optimizer's own default."""

    learning_rate: float | None = None
    """Step size, at the start of the schedule."""
    schedule: Literal["constant", "linear", "cosine"] | None = None
    """The learning rate over the steps: constant, or down to 0."""
    weight_decay: float | None = None
    """Decay of matrices for each unit of learning rate; biases and norms have none."""
    eps: float | None = None
    """Perturbation scale, in parameter units (zeroth-order)."""
    evaluation: Literal["streamed", "copy", "in_place"] | None = None
    """How the loss is evaluated at perturbed parameters (zeroth-order)."""
    num_queries: int | None = None
    """Directions of a step (zeroth-order, but not zo_sgd_blockwise)."""
    direction: DirectionName | None = None
    """How directions are drawn (zeroth-order); random signs, rademacher, are the fastest."""
    difference: Literal["central", "forward", "centred"] | None = None
    """2 forward passes a direction; 1 and one shared; or 1, against their mean (those with
    num_queries)."""
    slope_rule: SlopeRuleName | None = None
    """What scales the slopes of a step (those with num_queries): their sign, a cut at 100, a
    running size, or their spread over the queries."""
    anneal: Literal["figure", "equation"] | None = None
    """How the weights of the noise's parts anneal (zo_adamu)."""
    phases: tuple[float, float] | None = None
    """Where annealing starts and ends, as fractions of the steps (zo_adamu)."""
    signed_momentum: bool | None = None
    """Whether the momentum takes the slope's sign (zo_adamu)."""
    momentum: float | None = None
    """Heavy-ball momentum (sgd, zo_sgd_momentum)."""
    b1: float | None = None
    """Decay of the first moment (adam, zo_adam, zo_adamm)."""
    b2: float | None = None
    """Decay of the second moment (adam, zo_adam, zo_adamm)."""
    in_turn: bool | None = None
    """Let each block see the earlier blocks' steps (zo_sgd_blockwise)."""


@dataclass(frozen=True)
class FinetuneConfig:
    """Fine-tune a language model on labelled texts, by forward passes alone."""

    model: str = "opt-mini"
    """opt-mini or roberta-mini (inside this package), a folder, a hub name."""
    from_pt: bool = False
    """Read PyTorch weights (needs torch)."""
    dtype: ModelDtype = "float32"
    """Of the parameters and of the computation."""
    optimizer: OptimizerName = "zo_adamu"
    """adam and sgd are first-order peers; the others need forward passes alone."""
    objective: ObjectiveName = "loss"
    """What steps lower: the loss, or minus a metric of the batch (zeroth-order, by differences):
    accuracy of a task that chooses, f1 of the text that a model writes."""
    steps: int = 1000
    """Updates."""
    parallel: Parallel | None = None
    """What all devices share: a batch's examples (data), or queries and signs (query). Without it
    one device is used, or with several processes data."""
    batch_size: int = 16
    """Training examples of a step, at most as many as there are."""
    eval_batch_size: int = 64
    """Examples of a forward pass when accuracy is measured."""
    eval_every: int = 100
    """Steps between two measurements on dev."""
    log_every: int = 10
    """Steps whose mean loss makes a line of metrics.jsonl."""
    non_finite: NonFinite = "stop"
    """What a loss or slope that is not finite does: end the run, or pass for a slope of 0."""
    slopes: LogDtype = "float32"
    """What slopes are rounded to before they are used and logged (zeroth-order)."""
    keep: int = 1
    """Checkpoints to keep, besides that of the best step; 0 for none."""
    resume: Path | None = None
    """Go on with the run in this folder, with its own settings."""
    seed: int = 0
    """Decides everything random: noise, batches, samples."""
    output: Path | None = None
    """The run's folder; without one, runs/<date-time>-<optimizer>."""
    overwrite: bool = False
    """Replace the run that lies in the output folder."""
    data: DataConfig = field(default_factory=DataConfig)
    """The texts, and how they become prompts."""
    tuned: AdapterConfig = field(default_factory=AdapterConfig)
    """What is tuned."""
    hyper: HyperParameters = field(default_factory=HyperParameters)
    """The optimizer's settings."""

    def __post_init__(self) -> None:
        """Check what can be checked before any work."""
        for name in ("steps", "batch_size", "eval_batch_size", "eval_every", "log_every"):
            _at_least_one(name, getattr(self, name))
        counts = ("max_length", "num_buckets", "k_shot", "train_size", "dev_size", "test_size")
        for name in counts:
            if getattr(self.data, name) is not None:
                _at_least_one(name, getattr(self.data, name))
        _check_choices(self)
        if self.objective != "loss" and self.optimizer in _NEED_DERIVATIVES:
            raise ValueError(
                f"finetune: objective must be loss for {self.optimizer}, which follows a "
                f"derivative, got {self.objective}: a metric's derivative is zero wherever it has "
                "one. Take an optimizer of loss differences, such as mezo."
            )
        if not 0 <= self.seed < 1 << 32:
            raise ValueError(
                f"finetune: seed must lie within 0 … {(1 << 32) - 1}, got {self.seed}."
            )
        for group in (self.tuned, self.hyper):
            for name, value in dataclasses.asdict(group).items():
                numbers = value if isinstance(value, tuple) else (value,)
                if any(isinstance(each, float) and not math.isfinite(each) for each in numbers):
                    raise ValueError(f"finetune: {name} must be finite, got {value}.")
        if self.keep < 0:
            raise ValueError(f"finetune: keep must be >= 0, got {self.keep}.")
        if (self.data.train is None) != (self.data.test is None):
            raise ValueError(
                f"finetune: train and test must be given together, got train={self.data.train}, "
                f"test={self.data.test}. Give both files, or neither for Rotten Tomatoes."
            )
        if self.data.dev is not None and self.data.train is None:
            raise ValueError(f"finetune: dev needs train and test as well, got {self.data.dev}.")


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"finetune: {name} must be >= 1, got {value}.")


def _check_choices(config: FinetuneConfig) -> None:
    chosen = {
        "optimizer": (config.optimizer, OptimizerName),
        "objective": (config.objective, ObjectiveName),
        "dtype": (config.dtype, ModelDtype),
        "non_finite": (config.non_finite, NonFinite),
        "slopes": (config.slopes, LogDtype),
        "adapter": (config.tuned.adapter, AdapterName),
    }
    for name, (value, choices) in chosen.items():
        if value not in get_args(choices):  # a file may say anything
            names = ", ".join(get_args(choices))
            raise ValueError(f"finetune: {name} must be one of {names}, got {value!r}.")
