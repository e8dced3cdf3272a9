"""The commands' arguments as dataclasses; the strings below the attributes are the help.

No import of them waits for jax. Those of ``zojax gallery``, whose functions and optimizers it reads
from the library, are in ``_gallery_arguments``.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from zojax.cli._options import Positional
from zojax.cli._plan_arguments import PlanArguments
from zojax.lm.settings import (
    DataConfig,
    FinetuneConfig,
    Implementation,
    ModelDtype,
    OutputFormat,
    TextFormat,
)


@dataclass(frozen=True)
class ProcessArguments:
    """Several processes, on one host or on several; see also --parallel."""

    processes: int = 1
    """Start this many processes on this host and distribute each step over them."""
    coordinator: str | None = None
    """For processes on several hosts, each started separately: the host:port of process 0, or auto
    under Slurm, Open MPI, Kubernetes or Cloud TPU. Without it, JAX_COORDINATOR_ADDRESS."""
    num_processes: int | None = None
    """The number of processes, with --coordinator. Without it, JAX_NUM_PROCESSES."""
    process_id: int | None = None
    """The number of this process, from 0, with --coordinator. Without it, JAX_PROCESS_ID."""


@dataclass(frozen=True)
class Finetune:
    """Fine-tune a language model on labelled texts, chats, instructions or plain text.

    Without options: opt-mini on the Rotten Tomatoes sentences by ZO-AdaMU, in less than five
    minutes on two CPU cores. ``zojax finetune --defaults`` shows each optimizer's settings.
    """

    config: FinetuneConfig = field(default_factory=FinetuneConfig)
    """The run."""
    job: ProcessArguments = field(default_factory=ProcessArguments)
    """The processes that run it."""


@dataclass(frozen=True)
class EvaluateArguments:
    """Measure the models that a run has saved, on its test examples or on other labelled rows: for
    a task with classes with precision, recall and F1 of each, and which is taken for which.

    - zojax eval runs/mine
    - zojax eval runs/mine --data new.csv --output figures
    """  # noqa: D205 - the help shows the first lines as one paragraph

    run: Positional[str]
    """The folder of a run, as finetune printed it."""
    data: Path | None = None
    """A file with the columns of the run's training rows; without it, the run's test examples."""
    output: Path | None = None
    """A new or empty folder for evaluation.json and confusion.png; without it,
    evaluations/<date-time> in the run's folder."""


@dataclass(frozen=True)
class PredictArguments:
    """Predict with a run: a line of standard output for each text, the label first, then each
    class's probability; or the answer, for a run that writes one.

    - zojax predict runs/mine --texts tickets.csv > labels.tsv
    - zojax predict runs/mine --texts - < lines.txt | cut -f1
    """  # noqa: D205 - the help shows the first lines as one paragraph

    run: Positional[str]
    """The folder of a run, as finetune printed it."""
    texts: str
    """A .csv, .jsonl or .parquet file with the run's text columns, a .txt file with a text on each
    line, or - for standard input, a text on each line."""
    texts_format: TextFormat | None = None
    """The format of the texts, where the file's suffix does not say it or standard input is CSV
    or JSONL."""
    format: OutputFormat = "tsv"
    """The format of the output: a table with a header, or JSON lines."""
    which: Literal["best", "last"] = "best"
    """The parameters of the step that scored best on dev, or those after the last step."""
    batch_size: int | None = None
    """Most texts of a forward pass; without it, the run's --eval-batch-size."""
    max_new_tokens: int | None = None
    """Most tokens of an answer of a run on chats, instructions or plain text; without it, 128."""
    skip_bad_rows: bool = False
    """Write - for a row without a text, in place of stopping at the first one."""


@dataclass(frozen=True)
class Export:
    """Export the tuned model of a run as a folder that transformers, or peft for LoRA, reads."""

    run: Positional[str]
    """The folder of a run, as finetune printed it."""
    output: Path
    """A new or empty folder for the model or the adapter."""
    merge: bool = False
    """Merge a LoRA, or an untied head, into the base model: one whole model."""
    which: Literal["best", "last"] = "best"
    """The parameters of the step that scored best on dev, or those after the last step."""


@dataclass(frozen=True)
class BaselineArguments:
    """Measure a baseline for tuned models, on the data that finetune uses."""

    method: Positional[Literal["zero-shot", "in-context", "linear-probe"]]
    """The untuned model; the same with solved examples before each prompt; logistic regression on
    its hidden states."""
    model: str = "opt-mini"
    """opt-mini or roberta-mini (inside this package), a folder, a hub name."""
    from_pt: bool = False
    """Read PyTorch weights (needs torch)."""
    implementation: Implementation = "zojax"
    """This package's model, or the Flax class of OPT or RoBERTa of transformers 4."""
    dtype: ModelDtype = "float32"
    """Dtype of the parameters and of the computation."""
    eval_batch_size: int = 64
    """Examples of a forward pass."""
    seed: int = 0
    """Determines which examples are sampled."""
    demonstrations: int | None = None
    """Most solved examples before a prompt; without it, 32 (in-context)."""
    json: bool = False
    """Print one line of JSON instead of a table."""
    data: DataConfig = field(default_factory=DataConfig)
    """The texts and how they become prompts."""


@dataclass(frozen=True)
class Replay:
    """Rebuild the model that a run had after a step from its base model and its log alone."""

    base: Positional[str]
    """The base model of the run: opt-mini, a folder in transformers' layout, or a hub name."""
    log: Positional[Path]
    """The run's trajectory.log, or its folder."""
    output: Path
    """A new or empty folder for the model or the adapter."""
    until: int | None = None
    """The step to rebuild; without it, the last one of the log."""


@dataclass(frozen=True)
class CompareArguments:
    """Compare methods: models x tasks x methods x adapters, over several seeds."""

    study: Positional[Path]
    """A TOML file; docs/compare.md describes its content."""
    output: Path | None = None
    """The study's folder, whose finished runs are kept; without it, runs/<the file's name>."""
    jobs: int = 1
    """Processes that make runs in parallel, each with its share of the cores."""
    check: bool = False
    """Only check that every run can be made, and count the runs."""


KINDS: dict[str, type] = {
    "finetune": Finetune,
    "eval": EvaluateArguments,
    "predict": PredictArguments,
    "export": Export,
    "baseline": BaselineArguments,
    "compare": CompareArguments,
    "replay": Replay,
    "plan": PlanArguments,
}
