"""The update of every estimator: slopes from losses near θ, and a gradient from slopes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from zojax import _check
from zojax._asking import Asking
from zojax._mesh import laid_out
from zojax._meter import Measured, Meter
from zojax._not_parameters import refuse_others
from zojax._types import Array, HasAux, KeyLike, Params, ScalarOrSchedule, ValueFn
from zojax._xla import in_memory
from zojax.directions import Direction, Draws
from zojax.estimators._slopes import Measure, guarded_slopes
from zojax.streaming import Objective


class EstimatorState(NamedTuple):
    """State of every estimator."""

    count: Array  # pyright: ignore[reportIncompatibleMethodOverride] - int32 []: updates taken
    key: Any  # typed key []: constant; None where nothing is random
    value: Array  # float32 []: mean of the step's losses, in the loss's unit; inf before the first
    skipped: Array  # int32 []: slopes so far that were not usable, and were left out of the mean
    rested: Array  # bool []: whether the last step had no usable slope, and so moved nothing
    aux: Any  # of the last step's first point, if has_aux gives its structure; else None
    direction: Any  # the direction's own; () where it keeps nothing
    slope_rule: Any  # the slope rule's own; () where there is none
    feedback: Any = None  # float []: one_point's last finite loss, inf before the first; else None

    def restarted(self, first: Any) -> "EstimatorState":
        """The state where a subspace begins anew: the direction's own is its first."""
        return self._replace(direction=first.direction)


def estimator(
    where: str,
    measure: Measure,
    direction: Direction,
    *,
    key: KeyLike = 0,
    keyless: bool = False,
    num_queries: int | Callable[[Params], int] = 1,
    slope_rule: optax.GradientTransformation | None = None,
    has_aux: HasAux = False,
    residual_eps: ScalarOrSchedule | None = None,
) -> optax.GradientTransformationExtraArgs:
    """The transformation that all estimators are.

    Args:
      where: Name of the estimator, for messages.
      measure: Evaluates losses; it alone uses ``value_fn``.
      direction: Makes the directions z.
      key: Typed PRNG key or int seed.
      keyless: Nothing is random, and the state has no key.
      num_queries: q ≥ 1, or a function from the parameters to it.
      slope_rule: A transformation of the float32 [q] slopes, or None.
      has_aux: Whether ``value_fn`` returns a pair (loss, aux), or the structure of what is kept.
      residual_eps: ε, where the scalar measured is a loss, whose slope is the difference from the
        last step's over ε; None where slopes are measured.
    """
    fresh_key = None if keyless else _check.typed_key(where, key)
    rule = optax.with_extra_args_support(slope_rule or optax.identity())

    def init(params: Params) -> EstimatorState:
        params = _check.parameters(where, params)
        refuse_others(where, params)
        queries = num_queries if isinstance(num_queries, int) else num_queries(params)
        return EstimatorState(
            count=jnp.zeros((), jnp.int32),
            key=fresh_key and fresh_key(),
            value=no_loss_yet(),
            skipped=jnp.zeros((), jnp.int32),
            rested=jnp.zeros((), bool),
            aux=None if isinstance(has_aux, bool) else jax.tree.map(_zeros, has_aux),
            direction=direction.init(params, queries),
            slope_rule=() if slope_rule is None else rule.init(jnp.zeros(queries, jnp.float32)),
            # In float64 if x64 is enabled: the dtype of the loss is not known yet.
            feedback=None if residual_eps is None else no_loss_yet(_widest()),
        )

    def update(
        updates: Any,
        state: Any,
        params: Any = None,
        *,
        value_fn: ValueFn | None = None,
        obj_fn: ValueFn | None = None,
        meter: Meter | None = None,
        query_axis: str | None = None,
        model_bytes: int = 0,
        asking: Asking | None = None,
        **extra_args: Any,
    ) -> tuple[Any, EstimatorState]:
        del updates, extra_args
        params = _check.parameters(where, params)
        value_fn = _check.loss_function(where, value_fn, obj_fn)
        objective = Objective(where, value_fn, params, has_aux, query_axis, model_bytes, asking)
        queries = num_queries if isinstance(num_queries, int) else num_queries(params)
        drawn = direction.stored() if _is_small(params, model_bytes) else direction
        draws, memory = drawn.at_step(state.direction, state.key, state.count, queries, params)

        def measured() -> Measured:
            return measure(objective, draws, state.count)

        kind = "slopes" if residual_eps is None else "loss"
        found = measured() if meter is None else meter(kind, queries, measured)
        slopes, usable = in_memory((found.scalars, found.usable))
        feedback = None
        bad = ~usable
        if residual_eps is not None:
            eps = _check.at(residual_eps, state.count)
            slopes, usable, feedback = _residual(found, state.feedback, eps)
            # A first step has no earlier loss to compare with; that does not count as skipped.
            bad = ~usable & ~(jnp.isinf(state.feedback) & found.usable)
        rested = ~jnp.any(usable)
        # It gets the slopes as measured: a slope rule may change their sign.
        memory = direction.after_step(memory, draws, slopes, usable, params)
        ruled, rule_state = slopes, state.slope_rule
        if slope_rule is not None:
            ruled, rule_state = _ruled(where, rule, slopes, usable, state.slope_rule, rested)
        ruled = _over_usable(ruled, usable, draws)
        estimate = gradient(draws.after(ruled), ruled, params)
        return estimate, EstimatorState(
            count=_check.next_count(state.count),
            key=state.key,
            value=found.value,
            skipped=state.skipped + jnp.sum(bad, dtype=jnp.int32),
            rested=rested,
            # A replay evaluates no loss, and keeps the aux that is there.
            aux=state.aux if found.aux is None else found.aux,
            direction=memory,
            slope_rule=rule_state,
            feedback=feedback,
        )

    return laid_out(optax.GradientTransformationExtraArgs(init, update))


# Of the bytes of a model: z of so small a tree is kept whole.
SMALL_SHARE = 1 / 256


def _is_small(params: Params, model_bytes: int) -> bool:
    """Whether parameters are so few beside a model that their z costs next to no memory."""
    return sum(x.nbytes for x in jax.tree.leaves(params)) <= SMALL_SHARE * model_bytes


def _residual(found: Measured, last: Array, eps: Array) -> tuple[Array, Array, Array]:
    """The slope from the last finite loss to this one, whether it is usable, and the next last."""
    # A loss that is not usable is 0 in a replay, and must give no slope there either.
    new, first = jnp.where(found.usable, found.scalars, jnp.nan).astype(last.dtype), jnp.isinf(last)
    slopes, usable = guarded_slopes(new - jnp.where(first, new, last), eps)
    return slopes, usable & ~first, jnp.where(found.usable[0], new[0], last)


def _ruled(
    where: str,
    rule: optax.GradientTransformationExtraArgs,
    slopes: Array,
    usable: Array,
    state: Any,
    rested: Array,
) -> tuple[Array, Any]:
    """Apply a slope rule: its slopes and its new state, which a step that rests does not change."""
    # optax takes powers of integer counts, which strict settings of JAX refuse.
    ruled: Any
    with jax.numpy_dtype_promotion("standard"):
        ruled, new = rule.update(slopes, state, None, usable=usable)
    new = jax.tree.map(lambda before, after: jnp.where(rested, before, after), state, new)
    if jnp.shape(ruled) != slopes.shape:
        raise ValueError(
            f"{where}: slope_rule must give a number for each of the {len(slopes)} slopes, got an "
            f"array of shape {list(jnp.shape(ruled))}."
        )
    return jnp.asarray(ruled, jnp.float32), new


def _over_usable(slopes: Array, usable: Array, draws: Draws) -> Array:
    """The slopes whose mean over all queries is the mean over those that are usable."""
    slopes = jnp.where(usable, slopes, 0.0)
    if not draws.averaged or len(slopes) == 1:
        return slopes
    used = jnp.maximum(jnp.sum(usable, dtype=jnp.int32), 1).astype(jnp.float32)
    return slopes * (jnp.float32(len(slopes)) / used)  # times 1 where all are


@jax.jit
def gradient(draws: Draws, slopes: Array, params: Params) -> Params:
    """The gradient estimate: see :meth:`zojax.directions.Draws.gradient`."""
    leaves, tree = jax.tree.flatten(params)
    return jax.tree.unflatten(tree, draws.gradient(slopes, leaves))


def no_loss_yet(dtype: Any = np.float32) -> Array:
    """inf, ``dtype`` []: there is no loss yet, which ``debug_infs`` must not report."""
    with jax.debug_infs(False):
        return jnp.full((), jnp.inf, dtype)


def estimator_states(state: Any) -> list[EstimatorState]:
    """The states of zojax's estimators within a state, in tree order."""
    nodes = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, EstimatorState))
    return [node for node in nodes if isinstance(node, EstimatorState)]


def _zeros(x: Any) -> Array:
    return jnp.zeros(x.shape, x.dtype)


def _widest() -> Any:
    return jax.dtypes.canonicalize_dtype(np.float64)
