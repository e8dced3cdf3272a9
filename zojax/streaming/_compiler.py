"""Options for the ``jit`` around a training step."""

import jax


def compiler_options() -> dict[str, str]:
    """Options that keep a streamed step in the memory of inference on the current backend.

    On CPU, XLA's default scheduler runs independent operations at once and so holds many
    perturbed weights together; and it joins chains of matrix products into one operation, which
    holds all the weights of the chain. The options turn both off.

    Returns:
      A dict for ``jax.jit(step, compiler_options=...)``; empty where nothing is needed.

    Examples:
      >>> import jax, zojax
      >>> step = jax.jit(lambda x: x + 1, compiler_options=zojax.compiler_options())
    """
    if jax.default_backend() == "cpu":
        return {
            "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
            "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT",
        }
    return {}
