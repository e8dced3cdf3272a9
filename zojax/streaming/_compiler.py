"""Options for the ``jit`` around a training step."""

import functools

import jax
import jax.numpy as jnp

CPU_OPTIONS = {
    "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT",
    "xla_disable_hlo_passes": "while-loop-invariant-code-motion",
}


def compiler_options() -> dict[str, str]:
    """Options that keep a streamed step in the memory of inference on the current backend.

    On CPU, XLA's default scheduler runs independent operations at once and so holds many
    perturbed weights together; it joins chains of matrix products into one operation, which holds
    all the weights of the chain; and it moves what is the same at all points of a step before the
    loop over them, where weights that are converted from bfloat16, or dequantised, stay in float32,
    all of them at once. The options turn all three off. GPUs and TPUs compute with such weights as
    they are, or convert them within the product, and need none. XLA renames its options from
    version to version: those that the installed one does not know are left out, so that a step
    takes more memory there and still runs.

    Returns:
      A dict for ``jax.jit(step, compiler_options=...)``; empty where nothing is needed.

    Cost: a trivial program is compiled for each option, once in a process.

    Examples:
      >>> import jax, zojax
      >>> step = jax.jit(lambda x: x + 1, compiler_options=zojax.compiler_options())
    """
    if jax.default_backend() != "cpu":
        return {}
    return {name: value for name, value in CPU_OPTIONS.items() if _is_known(name, value)}


@functools.cache
def _is_known(name: str, value: str) -> bool:
    """Whether XLA's compiler for CPUs has an option, and the option that value."""
    program = jax.jit(lambda: jnp.zeros((), jnp.int32)).lower()
    try:
        program.compile(compiler_options={name: value})
    except jax.errors.JaxRuntimeError as error:
        if not str(error).startswith("INVALID_ARGUMENT"):
            raise
        return False
    return True
