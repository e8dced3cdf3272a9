"""Options for the ``jit`` around a training step."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import SingleDeviceSharding

OPTIONS = {
    "cpu": {
        "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
        "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT",
        "xla_disable_hlo_passes": "while-loop-invariant-code-motion",
    },
    "gpu": {"xla_gpu_experimental_pack_dot_operands_along_k_dimension": "False"},
    "tpu": {"xla_jf_bf16_propagation": "false"},
}


def compiler_options() -> dict[str, str]:
    """Options that keep a streamed step in the memory of inference on the current backend.

    On CPU, XLA's default scheduler runs independent operations at once and so holds many
    perturbed weights together; it joins chains of matrix products into one operation, which holds
    all the weights of the chain; and it moves what is the same at all points of a step before the
    loop over them, where weights that are converted from bfloat16, or dequantized, stay in float32,
    all of them at once. The options turn all three off.

    On TPU, XLA keeps a value in bfloat16 from its beginning if all that use it round it to
    bfloat16, as products do: a frozen float32 weight is then copied to bfloat16 before the loop
    over a step's points. The option turns that off, and each weight is rounded where it is used.

    GPUs convert such weights within the product. Of integers of 4 bits, though, XLA would have
    those that a product sums over lie beside each other, and make a copy of all of them in that
    layout before the loop. The option turns that off.

    XLA renames its options from
    version to version: those that the installed one does not know are left out, so that a step
    takes more memory there and still runs.

    Returns:
      A dict for ``jax.jit(step, compiler_options=...)``; empty where nothing is needed.

    Cost: a trivial program is compiled for each option, once in a process.

    Examples:
      >>> import jax, zojax
      >>> step = jax.jit(lambda x: x + 1, compiler_options=zojax.compiler_options())
    """
    return options_for(jax.local_devices()[0])


def options_for(device: Any) -> dict[str, str]:
    """The same for a device, which may be one of a topology that is not attached."""
    options = OPTIONS.get(device.platform, {})
    return {name: value for name, value in options.items() if _is_known(device, name, value)}


@functools.cache
def _is_known(device: Any, name: str, value: str) -> bool:
    """Whether XLA's compiler for a device has an option, and the option that value."""
    number = jax.ShapeDtypeStruct((), jnp.int32, sharding=SingleDeviceSharding(device))
    program = jax.jit(lambda x: x).lower(number)
    try:
        program.compile(compiler_options={name: value})
    except jax.errors.JaxRuntimeError as error:
        if not str(error).startswith("INVALID_ARGUMENT"):
            raise
        return False
    return True
