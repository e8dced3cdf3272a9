"""The command line's arguments, made from the configuration's classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import tyro

from zojax import gallery
from zojax.lm.training import (
    DEFAULTS,
    WITH_ADAPTER,
    WITH_ADAPTER_OPTIMIZERS,
    DataConfig,
    FinetuneConfig,
)


@dataclass(frozen=True)
class ProcessArguments:
    """Several processes, on this host or on many; see also --parallel."""

    processes: int = 1
    """Start so many on this host, which share each step."""
    coordinator: str | None = None
    """For processes on several hosts, each started by itself: the host:port of process 0, or auto
    under Slurm, Open MPI, Kubernetes or Cloud TPU. Without it, JAX_COORDINATOR_ADDRESS."""
    num_processes: int | None = None
    """How many there are, with --coordinator. Without it, JAX_NUM_PROCESSES."""
    process_id: int | None = None
    """Which one this is, from 0, with --coordinator. Without it, JAX_PROCESS_ID."""


@dataclass(frozen=True)
class Finetune:
    """What ``zojax finetune`` takes; the command's help is :func:`_finetune_description`."""

    config: FinetuneConfig = field(default_factory=FinetuneConfig)
    """The run."""
    job: ProcessArguments = field(default_factory=ProcessArguments)
    """Who runs it."""


@dataclass(frozen=True)
class Evaluate:
    """Measure a run's saved models on its test examples again."""

    run: tyro.conf.Positional[str]
    """The folder of a run, as finetune printed it."""


@dataclass(frozen=True)
class BaselineArguments:
    """Measure what a tuned model is compared with; the data are those of finetune."""

    method: tyro.conf.Positional[Literal["zero-shot", "in-context", "linear-probe"]]
    """The model as it is; with solved examples before each prompt; regression on its states."""
    model: str = "opt-mini"
    """As for finetune: a name, a folder in transformers' layout, or a hub name."""
    from_pt: bool = False
    """Read PyTorch weights (needs torch)."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the parameters and of the computation."""
    eval_batch_size: int = 64
    """Examples of a forward pass."""
    seed: int = 0
    """Decides the samples."""
    demonstrations: int | None = None
    """Most solved examples before a prompt: 32 without it (in-context)."""
    json: bool = False
    """Print one line of JSON instead of a table."""
    data: DataConfig = field(default_factory=DataConfig)
    """The texts, and how they become prompts."""


@dataclass(frozen=True)
class Replay:
    """Rebuild the model that a run had after a step from its base model and its log alone."""

    base: tyro.conf.Positional[str]
    """What the run tuned: opt-mini, a folder in transformers' layout, or a hub name."""
    log: tyro.conf.Positional[Path]
    """The run's trajectory.log, or its folder."""
    output: Path
    """A new folder, for the model or the adapter."""
    until: int | None = None
    """The step; without it, the last one."""


@dataclass(frozen=True)
class PlanArguments:
    """Say what a step needs on a device that is not there: memory, operations, time at best."""

    model: str = "opt-13b"
    """A name such as opt-13b, roberta-large, llama-2-7b or mistral-7b, or a config.json."""
    optimizer: str = "zo_adamu"
    """zo_adamu, mezo or forward_gradient; adam or sgd, by backpropagation; inference."""
    device: str = "a100-80gb"
    """a100-40gb, a100-80gb, h100-80gb, h200-141gb, v100-32gb, tpu-v5e, tpu-v5p or tpu-v6e."""
    devices: int = 1
    """How many; the parameters are sharded over them, tensor-parallel."""
    mesh: str | None = None
    """Axes and their sizes instead: data=2,model=4. Matrices are cut over model, the batch over
    data, the batch and all parameters over fsdp."""
    batch: int | None = None
    """Sequences of a step, over all devices: 16, or 1 with --largest."""
    length: int | None = None
    """Tokens of a sequence: 256, or 400 with --largest."""
    dtype: str = "bfloat16"
    """bfloat16, float16 or float32, of parameters, state and computation."""
    largest: bool = False
    """Find the largest OPT that adam, mezo and zo_adamu can tune there, instead."""
    full: bool = False
    """Compile a zeroth-order step whole, not at two depths; takes minutes and gigabytes."""
    json: Path | None = None
    """Write the figures here."""
    chart: Path | None = None
    """Draw them here; the ending says which kind of image."""
    overwrite: bool = False
    """Replace these files where they are."""


@dataclass(frozen=True)
class GalleryArguments:
    """What ``zojax gallery`` takes; the command's help is :func:`_gallery_description`."""

    functions: tuple[str, ...] = tuple(gallery.FUNCTIONS)
    """Which test functions."""
    optimizers: tuple[str, ...] = gallery.PAPERS
    """Which optimizers, in the order they are drawn."""
    steps: int = 1000
    """The budget, in steps of two forward passes; a gradient is worth three."""
    seeds: int = 25
    """Runs to tune each learning rate on, and as many others to show."""
    seed: int = 0
    """All random numbers follow from it."""
    out: Path | None = None
    """Folder of the pictures and results.json: runs/<date-time>-gallery where not given."""
    overwrite: bool = False
    """Replace the gallery in this folder."""


@dataclass(frozen=True)
class CompareArguments:
    """Measure methods against each other: models x tasks x methods x adapters, over seeds."""

    study: tyro.conf.Positional[Path]
    """A TOML file; docs/compare.md tells what stands in it."""
    output: Path | None = None
    """The study's folder, whose finished runs are kept: runs/<the file's name> where not given."""
    jobs: int = 1
    """Processes that make runs side by side, each with its share of the cores."""
    check: bool = False
    """Only see that every run can be made, and count them."""


Command: TypeAlias = (
    Finetune
    | Evaluate
    | Replay
    | BaselineArguments
    | CompareArguments
    | PlanArguments
    | GalleryArguments
)


def parse(arguments: Sequence[str]) -> Command:
    """Read the arguments; exits by itself for ``--help`` and for what it does not know."""
    commands: Any = (
        Annotated[
            Finetune,
            tyro.conf.subcommand("finetune", description=_finetune_description()),
        ]
        | Annotated[Evaluate, tyro.conf.subcommand("eval")]
        | Annotated[BaselineArguments, tyro.conf.subcommand("baseline")]
        | Annotated[CompareArguments, tyro.conf.subcommand("compare")]
        | Annotated[Replay, tyro.conf.subcommand("replay")]
        | Annotated[PlanArguments, tyro.conf.subcommand("plan")]
        | Annotated[
            GalleryArguments,
            tyro.conf.subcommand("gallery", description=_gallery_description()),
        ]
    )
    return tyro.cli(
        commands,
        prog="zojax",
        description="Fine-tune language models by forward passes alone.",
        args=arguments,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
    )


def _finetune_description() -> str:
    lines = [
        "Fine-tune a language model on labelled texts. Without options: opt-mini on the Rotten "
        "Tomatoes sentences by ZO-AdaMU, in less than five minutes on two CPU cores.",
        "",
        "Each optimizer takes these settings, with these defaults:",
    ]
    lines += _listed(DEFAULTS)
    lines += ["", f"With an adapter, {' and '.join(WITH_ADAPTER_OPTIMIZERS)} take instead:"]
    lines += _listed(WITH_ADAPTER)
    return "\n".join(lines)


def _listed(table: Mapping[Any, Mapping[str, Any]]) -> list[str]:
    shown = {
        name: ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
        for name, settings in table.items()
    }
    return [f"- {name}: {settings}" for name, settings in shown.items()]


def _gallery_description() -> str:
    return "\n".join(
        [
            "Draw optimizers on test functions of two parameters: trajectories over contours, "
            "curves, and an animation. Each optimizer has the same budget and the best learning "
            "rate of the same grid. Without options: the functions and optimizers of the ZO-AdaMU "
            "paper's Figure 2, in about a minute.",
            "",
            f"- functions: {', '.join(gallery.FUNCTIONS)}",
            f"- optimizers: {', '.join(gallery.OPTIMIZERS)}",
        ]
    )
