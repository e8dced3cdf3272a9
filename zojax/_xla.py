"""What zojax asks of XLA that a program does not say by itself: ties, one-turn loops, rounding.

**Ties.** XLA merges equal computations and moves them early, and then keeps what it has drawn or
perturbed early until it is used. :func:`tied` makes a draw wait for the activation that it meets;
:func:`opaque` hides that two values are equal. Together they make the program of a step of MeZO
half as large on the CPU. Its memory is bounded already by the loop over the step's points.

Weights that a forward pass converts (16 bits, quantized, frozen) need more than ties. What is the
same at all points of a step XLA moves before their loop, and converts it there, all of it at once.
Frozen weights, and bases that ``value_fn`` only closes over, are therefore tied to the point
(``streaming/_unperturbed.py``), and ``zojax.compiler_options()`` turns off what passes ties: on a
CPU the motion of invariants, which widens weights of 16 bits, and on a TPU the propagation of
bfloat16, which rounds float32 weights. GPUs convert weights within the product.

**One-turn loops.** XLA computes what is cheap again in every operation that reads it. The keys of
the rows and the perturbed biases are cheap and are read everywhere: computed again each time, they
nearly double the program on the CPU. XLA does not look into a loop: :func:`computed_once` puts them
into one of a single iteration, whose result is written to memory.

**Rounding.** This is what makes bits equal between programs. The two ends of a probe, the update
that follows them, and the replay of that update from a log are different programs, or parts of one
that a compiler fuses in different ways. Where a product is added to something, a compiler may
contract the two into one multiply-add with one rounding (FMA, on processors that have it) in one
place and not in the other, and the sums then differ in their last bit. So every product whose sum
two programs must agree on passes through :func:`rounded`: in z itself, in losses before they are
subtracted, in slope·z before queries are added, and in an update before it is added to θ (see
``zojax.chain``). tests/trajectory holds probe = update, resume = run and replay = run to the bit
under every instruction set of the processor.

``benchmarks/xla.py`` measures what each is worth, and docs/architecture.md shows the table.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from zojax._types import Array

Tree = TypeVar("Tree")
Other = TypeVar("Other")


def tied(tree: Tree, values: Other) -> tuple[Tree, Other]:
    """Both trees, where nothing computes with either before all of both is there."""
    return lax.optimization_barrier((tree, values))


def opaque(tree: Tree) -> Tree:
    """The same tree, of which the compiler knows neither the values nor which are equal."""
    return lax.optimization_barrier(tree)


def computed_once(function: Callable[[Array, Tree], Tree], x: Tree) -> Tree:
    """``function(counter, x)``, computed once and written to memory, to that of ``x`` if free.

    Args:
      function: From the loop's counter, an int32 [] of 0, and ``x`` to what replaces ``x``. XLA may
        hoist whatever does not depend on the counter, so each draw has to take it as an argument.
      x: A tree of arrays.
    """

    def body(counter: Array | int, x: Tree) -> Tree:
        # The counter is a Python int under jax.disable_jit.
        return function(jnp.asarray(counter, jnp.int32), x)

    # XLA dissolves a loop of which it knows that it has one turn.
    return lax.fori_loop(0, opaque(1), body, x)


# Compiled, so that a step outside of jit compiles the loop once and not every time.
@jax.jit
def in_memory(values: Tree) -> Tree:
    """The same small arrays of float32 or bool, which the CPU computes once.

    There XLA computes a slope or a schedule again in the update of every leaf. XLA for GPUs and
    TPUs does not, and a loop would cost more.
    """

    def kept(counter: Array, values: Tree) -> Tree:
        # XLA takes what does not depend on the counter out of the loop.
        return jax.tree.map(
            lambda x: x & (counter < 1) if x.dtype == bool else x * (counter + 1).astype(x.dtype),
            values,
        )

    return lax.platform_dependent(values, cpu=lambda x: computed_once(kept, x), default=lambda x: x)


def rounded(product: Array) -> Array:
    """The product itself, but rounded before any sum that it enters.

    A minimum between a product and a sum forbids their contraction. Only an infinite product is
    changed: it becomes the largest number of its dtype.
    """
    return lax.min(product, np.asarray(jnp.finfo(product.dtype).max, product.dtype))
