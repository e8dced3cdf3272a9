"""The configuration of a fine-tuning run: everything that is needed to run it again.

The command line is generated from these classes: each attribute is an option, and the string below
it is the option's help.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, get_args

from zojax.lm.settings._data_config import DataConfig, at_least_one, check_data
from zojax.lm.settings._names import (
    AdapterName,
    Bits,
    Implementation,
    LayoutName,
    LogDtype,
    ModelDtype,
    NonFinite,
    ObjectiveName,
    OptimizerName,
    Parallel,
)
from zojax.lm.settings._reward_config import RewardConfig, check_reward
from zojax.lm.settings._tuned_config import AdapterConfig, HyperParameters
from zojax.lm.settings._workers import check_workers

DEFAULT_STEPS = 1000
START_NAMES = ("auto", "words", "calibrated", "probe")
# These optimizers use derivatives; the derivative of a metric is zero almost everywhere.
_NEED_DERIVATIVES = ("adam", "sgd", "forward_gradient_sgd")


# Over integers without an adapter. Scales are tuned in shares of themselves, which rules that
# divide by the size of every element's gradient take away.
NEVER_OVER_INTEGERS: tuple[OptimizerName, ...] = (
    *("adam", "sgd", "forward_gradient_sgd"),
    "zo_sgd_blockwise",
)
OF_SCALES: tuple[OptimizerName, ...] = (
    *("mezo", "zo_sgd_sign", "zo_sgd_momentum"),
    "zo_sgd_conservative",
)


@dataclass(frozen=True)
class FinetuneConfig:
    """Fine-tune a language model on labels, chats or plain text, by forward passes alone."""

    model: str = "opt-mini"
    """opt-mini or roberta-mini (inside this package), a folder, a hub name."""
    from_pt: bool = False
    """Read PyTorch weights (needs torch)."""
    implementation: Implementation = "zojax"
    """This package's model, or the Flax class of OPT or RoBERTa of transformers 4."""
    dtype: ModelDtype = "float32"
    """Dtype of the parameters and of the computation."""
    quantize: Bits | None = None
    """Hold the layers' matrices as integers, which never move: under an adapter, in a subspace
    (--subspace-rank), or with their scales tuned, in shares of themselves (mezo and its kin)."""
    # Replaced below by a name, which everyone else sees.
    optimizer: OptimizerName = cast("OptimizerName", None)  # noqa: RUF009 (None)
    """adam and sgd are first-order references; the others need forward passes alone. Without it,
    zo_adamu, or es with --reward."""
    start: str | None = None
    """Where tuning starts from in a task with classes: the label words (words), these with a fitted
    bias for each class (calibrated), a head fitted to the features (probe), the best of them on
    dev (auto), or the folder of an earlier run or of a model. Without it, words, or auto for your
    own files."""
    objective: ObjectiveName = "loss"
    """What steps minimize: the loss, or minus a metric of the batch (zeroth-order, by differences):
    accuracy of a task that chooses, f1 of a task that generates text."""
    steps: int | None = None
    """Number of updates; without a budget of any kind, 1000. With --resume, the number that a run
    is extended to."""
    passes: int | None = None
    """Forward passes of all steps together, instead of --steps: as many steps as they allow. A
    pass is one over a batch; a gradient counts as three."""
    minutes: float | None = None
    """Minutes of all steps together, instead of --steps: as many steps as fit, after a few are
    timed. Compiling and measuring come on top."""
    planned_steps: int | None = None
    """Steps over which the schedule and annealing run; without it, all steps. A run that is
    extended keeps those that it began with, and goes on at the last rate."""
    patience: int | None = None
    """End the run after so many evaluations on dev without a better one."""
    parallel: Parallel | None = None
    """What is distributed over all devices: a batch's examples (data), or queries and signs
    (query), with the whole model on each. Without it one device is used, or data if there are
    several processes."""
    mesh: str | None = None
    """Shard the model over this process's devices, where it may be too large for one: axes and
    sizes, as in data=2,model=4. Matrices are sharded over model, the batch over data, the batch and
    all parameters over fsdp. Instead of --parallel, which shards no parameter."""
    layout: LayoutName | None = None
    """For --mesh with axes data and model: tensor-parallel, as they are named, or fully-sharded,
    which shards all parameters over data, too, as fsdp does."""
    workers: int | None = None
    """Processes that evaluate a step's losses, under Ray (needs ray): on this machine, or on those
    of the cluster in RAY_ADDRESS. Each loads the model; the numbers of points and losses travel."""
    worker_seconds: float | None = None
    """Time limit of a step: losses that have not come by then are left out. For --workers."""
    batch_size: int = 16
    """Training examples of a step; all of them if there are fewer."""
    micro_batch: int | None = None
    """Examples of one forward pass: a batch is read in parts of this size, all under the same
    perturbation, in the memory of one part. It must divide the batch."""
    eval_batch_size: int = 64
    """Examples of a forward pass in evaluations; fewer of long chats or texts."""
    eval_every: int = 100
    """Steps between two evaluations on dev."""
    log_every: int = 10
    """Steps between two lines of metrics.jsonl, each with the mean loss since the last."""
    non_finite: NonFinite = "stop"
    """What a loss or slope that is not finite does: stop the run, or be left out (skip)."""
    slopes: LogDtype = "float32"
    """The dtype that slopes are rounded to before they are used and logged (zeroth-order)."""
    keep: int = 1
    """Checkpoints to keep, besides that of the best step; 0 for none."""
    resume: Path | None = None
    """Resume the run in this folder, with the settings that it was started with."""
    tensorboard: bool = False
    """Write event files for TensorBoard, too, into the run's folder (needs tensorboardX)."""
    seed: int = 0
    """Determines everything random: noise, batches, sampled examples."""
    output: Path | None = None
    """The run's folder; without one, runs/<date-time>-<optimizer>."""
    overwrite: bool = False
    """Replace the run that is in the output folder."""
    data: DataConfig = field(default_factory=DataConfig)
    """The texts and how they become prompts."""
    scoring: RewardConfig = field(default_factory=RewardConfig)
    """The reward of what the model writes, if steps raise one."""
    tuned: AdapterConfig = field(default_factory=AdapterConfig)
    """The adapter to tune, if any."""
    hyper: HyperParameters = field(default_factory=HyperParameters)
    """The optimizer's settings."""

    @property
    def num_steps(self) -> int:
        """The number of updates."""
        return self.steps or self.planned_steps or DEFAULT_STEPS

    @property
    def num_planned(self) -> int:
        """The number of updates that the schedule and annealing are made for."""
        return self.planned_steps or self.num_steps

    def __post_init__(self) -> None:
        """Refuse wrong settings before any work is done."""
        if self.optimizer is None:  # pyright: ignore[reportUnnecessaryComparison]
            usual = "zo_adamu" if self.scoring.reward is None else "es"
            object.__setattr__(self, "optimizer", usual)
        for name in ("batch_size", "eval_batch_size", "eval_every", "log_every"):
            at_least_one(name, getattr(self, name))
        _check_choices(self)
        if self.objective != "loss" and self.optimizer in _NEED_DERIVATIVES:
            raise ValueError(
                f"finetune: objective must be loss for {self.optimizer}, which uses derivatives, "
                f"got {self.objective}: the derivative of a metric is zero almost everywhere. "
                "Choose an optimizer that uses loss differences, such as mezo."
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
        _check_mesh(self)
        _check_quantize(self)
        _check_budget(self)
        check_workers(self)
        if self.keep < 0:
            raise ValueError(f"finetune: keep must be >= 0, got {self.keep}.")
        check_data(self.data)
        check_reward(self.scoring)
        if self.scoring.reward is not None:
            _check_scored(self)


def _check_scored(config: FinetuneConfig) -> None:
    """Refuse what a run that raises a reward cannot have."""
    if config.optimizer in _NEED_DERIVATIVES:
        raise ValueError(
            f"finetune: optimizer must be one that uses loss differences with a reward, which has "
            f"no derivative, got {config.optimizer}. Leave it out, or take mezo, say."
        )
    if config.objective != "loss":
        raise ValueError(
            f"finetune: objective must be left out with reward, which is the objective, got "
            f"{config.objective}."
        )
    if config.data.train is None or config.data.task is not None:
        raise ValueError(
            "finetune: reward needs train, a file of prompts of your own, and no task, got "
            f"train={config.data.train} and task={config.data.task}. Give --train FILE (train)."
        )
    if config.data.kind not in (None, "instruction", "chat"):
        raise ValueError(
            f"finetune: kind must be instruction or chat with reward, got {config.data.kind}: its "
            "rows are prompts, or conversations to go on with."
        )
    if config.micro_batch is not None:
        raise ValueError(
            "finetune: micro_batch must be left out with reward, whose completions are scored "
            f"together, got {config.micro_batch}."
        )


def _check_budget(config: FinetuneConfig) -> None:
    for name in ("steps", "passes", "planned_steps", "patience", "micro_batch"):
        if getattr(config, name) is not None:
            at_least_one(name, getattr(config, name))
    if config.minutes is not None and not 0 < config.minutes < math.inf:
        raise ValueError(f"finetune: minutes must be positive, got {config.minutes}.")
    if config.micro_batch is not None and (config.mesh or config.parallel == "data"):
        raise ValueError(
            "finetune: micro_batch must not be given with mesh or parallel data, which share a "
            f"batch's examples out already, got micro_batch={config.micro_batch}."
        )
    if config.micro_batch is not None and config.objective == "f1":
        raise ValueError(
            "finetune: micro_batch must be for a loss that is compiled, got objective f1."
        )


def _check_mesh(config: FinetuneConfig) -> None:
    if config.mesh is None:
        if config.layout is not None:
            raise ValueError(
                f"finetune: layout needs mesh, got {config.layout} without one. Give both."
            )
        return
    from zojax.sharding import read_mesh  # which waits for jax

    read_mesh("finetune", config.mesh, config.layout)
    if config.parallel is not None:
        raise ValueError(
            f"finetune: mesh must not be given with parallel, got {config.mesh} and "
            f'{config.parallel}. mesh="data=N" shares a batch\'s examples out as parallel data '
            "does; parallel query needs the whole model on each device."
        )
    if config.implementation == "transformers":
        raise ValueError(
            "finetune: mesh must be for implementation zojax, got transformers, whose classes are "
            "loaded onto one device. Leave implementation out."
        )


def _check_quantize(config: FinetuneConfig) -> None:
    if config.quantize is None:
        return
    if config.implementation == "transformers" or config.mesh is not None:
        other = "mesh" if config.mesh is not None else "implementation transformers"
        raise ValueError(
            f"finetune: quantize must not be given with {other}, got {config.quantize}: integers "
            "are read by this package's model on one device, or on each with parallel."
        )
    if config.tuned.adapter != "none":
        return
    of_scales = config.hyper.subspace_rank is None
    if config.optimizer in NEVER_OVER_INTEGERS or (of_scales and config.optimizer not in OF_SCALES):
        raise ValueError(
            f"finetune: quantize must be with an adapter{', or subspace_rank,' * of_scales} for "
            f"{config.optimizer}, got {config.quantize} without: integers do not move, and their "
            f"scales are tuned by {', '.join(OF_SCALES)}. Give adapter lora, subspace_rank 16, or "
            "optimizer mezo."
        )
    if config.hyper.subspace_refresh is not None:
        raise ValueError(
            f"finetune: subspace_refresh must not be given with quantize, got "
            f"{config.hyper.subspace_refresh}: integers cannot take in what a subspace has "
            "gathered, so it stays for the whole run. Leave it out, and choose a larger rank."
        )
    if config.hyper.weight_decay:
        raise ValueError(
            f"finetune: weight_decay must be 0 with quantize, got {config.hyper.weight_decay}: "
            "weights in integers do not decay."
        )


def _check_choices(config: FinetuneConfig) -> None:
    chosen = {
        "optimizer": (config.optimizer, OptimizerName),
        "objective": (config.objective, ObjectiveName),
        "dtype": (config.dtype, ModelDtype),
        "quantize": (config.quantize or "int8", Bits),
        "implementation": (config.implementation, Implementation),
        "non_finite": (config.non_finite, NonFinite),
        "slopes": (config.slopes, LogDtype),
        "adapter": (config.tuned.adapter, AdapterName),
    }
    for name, (value, choices) in chosen.items():
        if value not in get_args(choices):  # type checkers do not see what a file contains
            names = ", ".join(get_args(choices))
            raise ValueError(f"finetune: {name} must be one of {names}, got {value!r}.")
