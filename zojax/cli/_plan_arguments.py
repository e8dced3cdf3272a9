"""The arguments of ``zojax plan``, which are read and refused without an import of jax."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from zojax.lm.settings import (
    NEVER_OVER_INTEGERS,
    OF_SCALES,
    Bits,
    LayoutName,
    ModelDtype,
    OptimizerName,
)

PlanOptimizer = OptimizerName | Literal["inference"]
DeviceName = Literal[
    "a100-80gb",
    "a100-40gb",
    "h100-80gb",
    "h200-141gb",
    "v100-32gb",
    "rtx-4090-24gb",
    "tpu-v5e",
    "tpu-v5p",
    "tpu-v6e",
]


@dataclass(frozen=True)
class PlanArguments:
    """Estimate what a run needs on a device, without the device: memory, FLOPs, minimum time.

    Ends with the command that runs what was planned.
    """

    model: str = "opt-13b"
    """A name such as opt-13b or facebook/opt-13b, roberta-large, llama-2-7b, mistral-7b, opt-mini;
    or a config.json, or a folder with one."""
    optimizer: PlanOptimizer = "zo_adamu"
    """An optimizer of finetune, of which adam and sgd use backpropagation; or a forward pass
    alone."""
    device: DeviceName = "a100-80gb"
    """The GPU or TPU."""
    devices: int = 1
    """The number of devices, over which the parameters are sharded (tensor parallelism)."""
    mesh: str | None = None
    """Axes and sizes of a mesh, instead of --devices: data=2,model=4. Matrices are sharded over
    model, the batch over data, the batch and all parameters over fsdp."""
    layout: LayoutName | None = None
    """For --mesh with axes data and model: tensor-parallel, as they are named, or fully-sharded,
    which shards all parameters over data, too, as fsdp does."""
    batch_size: int | None = field(default=None, metadata={"aliases": ("batch",)})
    """Examples of a step, on all devices together; without it, 16, or 1 with --largest. Also
    --batch."""
    rows_per_example: int = 1
    """Rows of tokens of an example: 1 if its label words are single tokens, else one for each
    class."""
    max_length: int | None = field(default=None, metadata={"aliases": ("length",)})
    """Tokens of a row; without it, 256, or 400 with --largest. Also --length."""
    dtype: ModelDtype = "bfloat16"
    """Dtype of parameters, state and computation."""
    quantize: Bits | None = None
    """Hold the layers' matrices as integers, under an adapter or in a subspace, or tune their
    scales (mezo, zo_sgd_...)."""
    adapter: Literal["none", "lora"] = "none"
    """Tune a LoRA beside the frozen model, in float32."""
    rank: int | None = None
    """Columns of each low-rank product (lora); without it, 8."""
    num_queries: int | None = None
    """Directions of a step (zeroth-order, but not zo_sgd_blockwise); without it, 1. Of es, pairs of
    members; without it, 16."""
    subspace_rank: int | None = None
    """Tune a subspace of this rank of every matrix (zeroth-order)."""
    steps: int | None = None
    """Steps of a run, whose least time is shown."""
    price: float | None = None
    """What a device costs an hour, in any currency: with --steps, the run's least cost."""
    largest: bool = False
    """Find the largest OPT that adam, mezo, zo_adamu and zo_adamu in a subspace can tune on the
    devices, instead; with --quantize, a LoRA of rank 8, a subspace, and scales."""
    full: bool = False
    """Compile a zeroth-order step at the model's full depth instead of at two small depths; takes
    minutes and gigabytes."""
    json: Path | None = None
    """A file to write the figures to."""
    chart: Path | None = None
    """An image file to draw the figures in; its suffix selects the format."""
    overwrite: bool = False
    """Replace these files if they exist."""

    def __post_init__(self) -> None:
        """Refuse what does not fit together, before anything is imported."""
        names = ("devices", "batch_size", "rows_per_example", "max_length", "rank", "steps")
        for name in (*names, "subspace_rank"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"plan: {name} must be >= 1, got {value}.")
        if self.layout is not None and self.mesh is None:
            raise ValueError(f"plan: layout needs mesh, got {self.layout} without one. Give both.")
        if self.mesh is not None and self.devices != 1:
            raise ValueError(
                f"plan: devices must not be given with mesh, got {self.devices} and {self.mesh}."
            )
        if self.rank is not None and self.adapter != "lora":
            raise ValueError(f"plan: rank needs adapter lora, got {self.rank} without it.")
        if self.num_queries is not None:
            self._check_queries(self.num_queries)
        if self.subspace_rank is not None and self.optimizer in ("adam", "sgd", "inference"):
            raise ValueError(
                f"plan: subspace_rank must not be given for {self.optimizer}, which needs no "
                f"estimate, got {self.subspace_rank}."
            )
        if self.price is not None and not (self.price > 0 and self.steps is not None):
            raise ValueError(
                f"plan: price must be > 0 and needs steps, got {self.price} with steps="
                f"{self.steps}."
            )
        if self.quantize is not None:
            self._check_quantize(self.quantize)
        if self.largest:
            self._check_largest()

    def _check_queries(self, queries: int) -> None:
        without = ("zo_sgd_blockwise", "adam", "sgd", "inference")
        if queries < 1:
            raise ValueError(f"plan: num_queries must be >= 1, got {queries}.")
        if queries > 1 and self.optimizer in without:
            raise ValueError(
                f"plan: num_queries must be 1 for {self.optimizer}, which has no queries, got "
                f"{queries}."
            )

    def _check_quantize(self, bits: str) -> None:
        if self.mesh is not None or self.devices != 1:
            raise ValueError(
                f"plan: quantize must be for one device, got {bits} with mesh or devices: finetune "
                "shards no integers."
            )
        if self.adapter != "none" or self.largest or self.optimizer == "inference":
            return
        of_scales = self.subspace_rank is None
        if self.optimizer in NEVER_OVER_INTEGERS or (of_scales and self.optimizer not in OF_SCALES):
            raise ValueError(
                f"plan: quantize must be with adapter lora{', or subspace_rank,' * of_scales} for "
                f"{self.optimizer}, got {bits} without: integers do not move, and their scales are "
                f"tuned by {', '.join(OF_SCALES)}."
            )

    def _check_largest(self) -> None:
        if self.chart is not None:
            raise ValueError("plan: chart must not be given with largest, which has no chart.")
        if self.mesh is not None:
            raise ValueError("plan: mesh must not be given with largest. Give devices.")
        names = ("adapter", "rank", "num_queries", "subspace_rank", "steps")
        given = [name for name in names if getattr(self, name) not in (None, "none")]
        if given:
            raise ValueError(
                f"plan: {', '.join(given)} must not be given with largest, which plans the steps "
                "of adam, mezo and zo_adamu on whole models."
            )
