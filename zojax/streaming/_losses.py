"""Losses at perturbed parameters, in three ways that see the same z."""

import itertools
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer
from jax.extend import core

from zojax import _check
from zojax._asking import Asking, Ends
from zojax._mesh import mesh_of
from zojax._quantized import Whole, abstract, anchor, without_offset
from zojax._types import Array, Evaluation, HasAux, Params, ValueFn
from zojax._xla import computed_once, rounded
from zojax.directions import Noises, drawn_at, is_vector
from zojax.streaming._copies import Loss, copied, in_place
from zojax.streaming._interpret import interpret
from zojax.streaming._moved import handed_over
from zojax.streaming._perturbed import Perturbed, Ties, large_bytes, perturb
from zojax.streaming._unperturbed import tied_to_point

Tree = TypeVar("Tree")
EVALUATIONS = ("streamed", "copy", "in_place")

_updates = itertools.count(1)


class Objective(NamedTuple):
    """What an update is asked to lower, and where it is evaluated."""

    where: str  # name of the estimator, for messages
    value_fn: ValueFn | None  # as update got it
    params: Any  # θ, any pytree of arrays; never written
    has_aux: HasAux = False  # whether value_fn returns aux, or the structure of what is kept of it
    query_axis: str | None = None  # the mesh axis whose devices share the points of a step
    model_bytes: int = 0  # of the whole model, where the parameters are a few of its layers
    asking: Asking | None = None  # where losses come from outside, what gives them

    def at(self, evaluation: Evaluation, *, differentiated: bool = False) -> Loss:
        """The loss as a function of the perturbation.

        Args:
          evaluation: ``"streamed"`` perturbs each weight where it is consumed and needs the memory
            of ``value_fn(params)``. ``"copy"`` evaluates ``value_fn`` on a perturbed copy. The copy
            of ``"in_place"`` lives outside jit in one buffer, rewritten from θ for each loss, so
            that ``value_fn`` may be any Python function.
          differentiated: Whether the loss will be differentiated with respect to the scale.
            Functions with a derivative of their own (``jax.custom_jvp``) then get their weights
            perturbed in full.

        Returns:
          ``loss(noises, scale)``.

        Raises:
          TypeError: ``value_fn`` is not a function, or does not return what it should.
          ValueError: ``"in_place"`` under a JAX transformation, or a loss of 16 bits.
        """
        where, params = self.where, self.params
        if self.asking is not None:
            if differentiated:
                raise ValueError(
                    f"{where}: ask_tell must not be used with derivatives, which no loss at a "
                    "point tells. Use zojax.spsa."
                )
            return handed_over(self.value_fn, params)
        value_fn = _check.loss_given(where, self.value_fn)
        if evaluation == "in_place" and any(isinstance(x, Tracer) for x in jax.tree.leaves(params)):
            raise ValueError(
                f'{where}: evaluation="in_place" calls value_fn as plain Python, which jit, vmap '
                f"and grad cannot trace. Call update outside of them, or use "
                f'evaluation="streamed".'
            )

        def evaluated(tree: Params) -> tuple[Array, Any]:
            return _check.value_and_aux(where, value_fn(tree), self.has_aux)

        if evaluation == "streamed":
            return streamed(evaluated, params, self.model_bytes, differentiated=differentiated)
        return {"copy": copied, "in_place": in_place}[evaluation](evaluated, params)

    def losses_at(
        self,
        loss_of: Callable[[Any], tuple[Array, Any]],
        count: int,
        evaluation: Evaluation,
        *,
        batched: bool = False,
        ends: Ends | None = None,
    ) -> tuple[Array, Any]:
        """The losses at the points of a step.

        Args:
          loss_of: From the number of a point, an int or int32 [], to its loss and aux.
          count: How many points, p.
          evaluation: As in :meth:`at`.
          batched: All points in one pass rather than one after the other.
          ends: Which points they are, so that their losses can come from outside.

        Returns:
          The losses, [p], each rounded before any sum that it enters, and the aux of the first
          point, or None where they come from outside.

        Raises:
          ValueError: They are to come from outside, and ``ends`` does not say which.
        """
        if self.asking is not None:
            if ends is None:
                raise ValueError(
                    f"{self.where}: ask_tell must not be used with it, whose points depend on the "
                    "step's other losses. Leave it out of the optimizer."
                )
            return rounded_loss(self.asking(ends, count // len(ends.sides), loss_of)), None
        if evaluation == "in_place":
            # Python calls of value_fn cannot be rolled into a compiled loop.
            each = [loss_of(point) for point in range(count)]
            return jnp.stack([value for value, _ in each]), each[0][1]
        if evaluation == "copy" and not batched:
            _note_compiled_update()  # the loop below; a streamed loss has noted itself
        # A loop rather than a row: the program holds one forward pass, and a point's perturbed
        # weights are gone before the next point's are there.
        losses, aux = self.map_points(loss_of, count, batched=batched)
        return rounded_loss(losses), jax.tree.map(lambda x: x[0], aux)

    def loss_here(self, loss: Loss, ends: Ends) -> tuple[Array, Any]:
        """The loss at θ itself, as :meth:`losses_at` gives those of points."""
        unmoved: Noises = [None] * len(jax.tree.leaves(self.params))
        if self.asking is not None:
            [value], _ = self.losses_at(lambda _: loss(unmoved, ends.eps), 1, "copy", ends=ends)
            return value, None
        value, aux = loss(unmoved, ends.eps)
        return rounded_loss(value), aux

    def map_points(
        self, function: Callable[[Any], Any], count: int, *, batched: bool = False
    ) -> Any:
        """The results of a function at the points of a step, one after the other.

        Args:
          function: From the number of a point, int32 [], to scalars.
          count: How many points, p.
          batched: All points in one pass.

        Returns:
          The results, [p] each. Where devices share the points, each of the D along ``query_axis``
          computes ⌈p/D⌉ of them, and one all-gather of scalars brings the others.
        """
        points, axis = jnp.arange(count), self.query_axis
        over = jax.vmap(function) if batched else partial(lax.map, function)
        if axis is None or count == 1:
            return over(points)
        share = -(-count // lax.axis_size(axis))
        # Devices that are left over compute the last point, so that all compute as many.
        own = jnp.minimum(lax.axis_index(axis) * share + jnp.arange(share), count - 1)
        results = over(points[own])
        return jax.tree.map(lambda x: lax.all_gather(x, axis, tiled=True)[:count], results)

    def no_aux(self) -> Any:
        """Zeros in place of aux where it is kept; None where it is dropped."""
        if isinstance(self.has_aux, bool):
            return None
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self.has_aux)


def rounded_loss(loss: Array) -> Array:
    """Losses as memory holds them: a log notes them so, and differences must be of the same."""
    return jnp.where(jnp.isfinite(loss), rounded(loss), loss)


def streamed(
    function: Callable[[Params], Tree],
    params: Params,
    model_bytes: int = 0,
    *,
    differentiated: bool = False,
) -> Callable[[Noises, Array | float], Tree]:
    """A function of parameters as one of the perturbation, in the memory of the function itself.

    Args:
      function: From parameters to a tree of arrays; it is traced once.
      params: θ, any pytree of arrays. A quantized weight that is one leaf is an array for the
        function.
      model_bytes: Of the whole model, where the parameters are a few of its layers.
      differentiated: As in :meth:`Objective.at`.

    Returns:
      ``perturbed(noises, scale)``: what the function gives at θ + scale·z.
    """
    _note_compiled_update()
    return traced(function, params, model_bytes, differentiated=differentiated)


def traced(
    function: Callable[[Params], Tree],
    params: Params,
    model_bytes: int = 0,
    *,
    differentiated: bool = False,
) -> Callable[[Noises, Array | float], Tree]:
    """As :func:`streamed`, within another program: it is no update of its own."""
    leaves, tree = jax.tree.flatten(params)

    def flat(*leaves: Array) -> Tree:
        return function(jax.tree.unflatten(tree, leaves))

    jaxpr, shapes = jax.make_jaxpr(flat, return_shape=True)(*map(abstract, leaves))
    outputs = jax.tree.structure(shapes)
    mesh = mesh_of([*map(anchor, leaves)])
    # Over several devices each holds only a part already, and slices would be communication.
    large = large_bytes(leaves, model_bytes) if mesh is None else None

    def both(noises: Noises) -> list[tuple[Any, Any]]:
        return list(zip(leaves, noises, strict=True))

    def perturbed(noises: Noises, scale: Array | float) -> Tree:
        scale = jnp.asarray(scale, jnp.float32)
        # Quantized ones wait for what they meet.
        late = [isinstance(leaf, Whole) or noise is not None for leaf, noise in both(noises)]
        frozen = [leaf for leaf, is_late in zip(leaves, late, strict=True) if not is_late]
        unperturbed, noises, scale = tied_to_point(
            [*jaxpr.consts, *frozen], noises, scale, differentiated=differentiated
        )
        consts, unmoved = unperturbed[: len(jaxpr.consts)], iter(unperturbed[len(jaxpr.consts) :])
        inputs = [
            Perturbed(without_offset(leaf), noise, scale, large, differentiated=differentiated)
            if is_late
            else next(unmoved)
            for (leaf, noise), is_late in zip(both(noises), late, strict=True)
        ]
        for i, vector in _perturbed_vectors(leaves, noises, scale).items():
            inputs[i] = vector
        program = core.ClosedJaxpr(jaxpr.jaxpr, consts)
        found = interpret(program, inputs, Ties(shared=mesh is not None))
        return jax.tree.unflatten(outputs, found)

    return perturbed


def _perturbed_vectors(leaves: Sequence[Array], noises: Noises, scale: Array) -> dict[int, Array]:
    """The perturbed biases and norms, by their place among the leaves."""
    moving = {
        i: noise
        for i, noise in enumerate(noises)
        if noise is not None and is_vector(leaves[i].shape)
    }

    def fill(counter: Array, vectors: dict[int, Array]) -> dict[int, Array]:
        del vectors
        return {
            i: perturb(
                leaves[i],
                drawn_at(noise.in_loop(counter), leaves[i]),
                scale + counter.astype(scale.dtype),
            )
            for i, noise in moving.items()
        }

    # On CPU they are written to memory: XLA would perturb a bias again in every operation that
    # reads the residual stream behind it. On other platforms a loop would cost more.
    return lax.platform_dependent(
        {i: jnp.zeros_like(leaves[i]) for i in moving},
        cpu=lambda x: computed_once(fill, x),
        default=lambda x: fill(jnp.int32(0), x),
    )


def _note_compiled_update() -> None:
    """Log once in a process, at the second update whose losses are compiled for it alone.

    The first may be a trial. A loss closes over its batch, so that what is compiled for one update
    cannot serve the next; only ``jit`` around the step has the batch as an argument.
    """
    # Where a transformation like jit stages a program, even a constant is a tracer.
    disabled: Any = jax.config.jax_disable_jit  # pyright: ignore[reportAttributeAccessIssue]
    if disabled or isinstance(jnp.zeros(()), Tracer):
        return
    if next(_updates) == 2:
        logging.getLogger("zojax").warning(
            "update runs outside of jax.jit, so the loss is compiled anew at every call. Put "
            "jax.jit around the whole step: step = jax.jit(step, donate_argnums=(0, 1), "
            "compiler_options=zojax.compiler_options()). This is said once."
        )
