"""The arguments of ``zojax plan``, which are read and refused without an import of jax."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

LayoutName = Literal["tensor-parallel", "fully-sharded"]


@dataclass(frozen=True)
class PlanArguments:
    """Estimate what a step needs on a device, without the device: memory, FLOPs, minimum time."""

    model: str = "opt-13b"
    """A name such as opt-13b, roberta-large, llama-2-7b or mistral-7b, or a config.json."""
    optimizer: str = "zo_adamu"
    """zo_adamu, mezo or forward_gradient; adam or sgd, by backpropagation; or inference."""
    device: str = "a100-80gb"
    """a100-40gb, a100-80gb, h100-80gb, h200-141gb, v100-32gb, tpu-v5e, tpu-v5p or tpu-v6e."""
    devices: int = 1
    """The number of devices, over which the parameters are sharded (tensor parallelism)."""
    mesh: str | None = None
    """Axes and sizes of a mesh, instead of --devices: data=2,model=4. Matrices are sharded over
    model, the batch over data, the batch and all parameters over fsdp."""
    layout: LayoutName | None = None
    """For --mesh with axes data and model: tensor-parallel, as they are named, or fully-sharded,
    which shards all parameters over data, too, as fsdp does."""
    batch: int | None = None
    """Sequences of a step, on all devices together; without it, 16, or 1 with --largest."""
    length: int | None = None
    """Tokens of a sequence; without it, 256, or 400 with --largest."""
    dtype: str = "bfloat16"
    """Dtype of parameters, state and computation: bfloat16, float16 or float32."""
    largest: bool = False
    """Find the largest OPT that adam, mezo and zo_adamu can tune on the devices, instead."""
    full: bool = False
    """Compile a zeroth-order step at the model's full depth instead of at two small depths; takes
    minutes and gigabytes."""
    json: Path | None = None
    """A file to write the figures to."""
    chart: Path | None = None
    """An image file to draw the figures in; its suffix selects the format."""
    overwrite: bool = False
    """Replace these files if they exist."""
