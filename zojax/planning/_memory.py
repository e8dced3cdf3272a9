"""The device memory of a compiled program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax


class Memory(NamedTuple):
    """Bytes that a program needs on each of its devices while it runs."""

    argument: int  # bytes of the inputs, including parameters and state
    output: int  # bytes of the results, including those in donated buffers
    alias: int  # bytes of the results that use a donated argument's buffer
    temp: int  # bytes of all intermediate buffers

    @property
    def device(self) -> int:
        """Total bytes; a result in a donated buffer counts once."""
        return self.argument + self.output - self.alias + self.temp


def memory(compiled: jax.stages.Compiled) -> Memory:
    """Read the memory of a compiled program, as the compiler has allocated it.

    Args:
      compiled: ``jax.jit(f).lower(...).compile()`` or the result of
        :func:`zojax.planning.compile_for`.

    Returns:
      Bytes of one device. The program's buffers are exact. The run-time needs further memory (a
      CUDA context takes several hundred MB), and so do libraries such as cuBLAS, for their
      workspace.

    Raises:
      NotImplementedError: The program's backend reports no memory.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> double = jax.jit(lambda x: 2 * x, donate_argnums=0)
      >>> memory(double.lower(jnp.ones(1024)).compile())
      Memory(argument=4096, output=4096, alias=4096, temp=0)
    """
    analysis = compiled.memory_analysis()
    if analysis is None:
        raise NotImplementedError("memory: the program's backend reports no memory.")
    return Memory(
        argument=analysis.argument_size_in_bytes,
        output=analysis.output_size_in_bytes,
        alias=analysis.alias_size_in_bytes,
        temp=analysis.temp_size_in_bytes,
    )


def bytes_of(leaf: Any, shape: Sequence[int] | None = None) -> int:
    """Bytes of an array, or of its shape, on a device, where integers of 4 bits are packed.

    Args:
      leaf: An array or ``jax.ShapeDtypeStruct``.
      shape: That of its part on the device; None for all of it.
    """
    bits = 4 if leaf.dtype.name in ("int4", "uint4") else 8 * leaf.dtype.itemsize
    return math.ceil(math.prod(leaf.shape if shape is None else shape) * bits / 8)
