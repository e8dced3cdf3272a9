"""An optimizer that sees a few coordinates of every parameter."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from zojax import _check
from zojax._mesh import laid_out
from zojax._not_parameters import refuse_others
from zojax._quantized import anchor, any_quantized, is_quantized, wholes
from zojax._types import Array, InSubspace, KeyLike, Params, ValueFn
from zojax.coordinates._basis import offsets, whiteners
from zojax.coordinates._fold import fresh, gathered
from zojax.coordinates._parts import merged, part
from zojax.coordinates._select import no_update
from zojax.coordinates._subspace_plan import Basis, MatrixOf, Plan, Sides
from zojax.coordinates._subspace_state import SubspaceState, has_rested, subspace_states
from zojax.directions import drawn_at
from zojax.streaming import arrived, at_point, copied, streamed

MOST_IN_UPDATE = 32
"""Ranks up to which a fold is one elementwise operation, and needs no memory of its own."""


def subspace(
    tx: optax.GradientTransformation,
    *,
    rank: int,
    refresh: int | None,
    key: KeyLike,
    sides: Sides = "both",
    basis: Basis = "haar",
    matrix: MatrixOf | None = None,
    evaluation: InSubspace = "streamed",
    in_update: bool = True,
) -> optax.GradientTransformationExtraArgs:
    r"""Restricts an optimizer to a small random subspace of every matrix, for some steps at a time.

    .. math::
        W = W_0 + c\,U S V^\top, \qquad U \in \mathbb R^{m \times r},
        \quad S \in \mathbb R^{r \times r}, \quad V \in \mathbb R^{n \times r}

    The optimizer inside sees S as its parameter, and of a leaf of one axis an offset, both float32.
    It may be any: with momentum, say, whose state is then r² numbers a matrix. W₀ is not written
    for ``refresh`` steps; what S has gathered is added to each product in float32. Then W₀ becomes
    W, S is 0 again, and U and V are drawn anew. Updates too small for 16 bits so add up in float32
    first. W₀ of 16 bits is rounded by chance, and they land on average.

    c makes the root mean square change of a weight that of an element of S, so that ``eps`` and
    learning rates mean what they mean without a subspace.

    Moments of other coordinates mean nothing to new ones: with each period the moments inside
    restart, with the counts of their bias correction. Keys, the counts of steps that schedules and
    noise depend on, and the running size of slopes go on.

    A quantized weight (:mod:`zojax.quantized`) is one matrix W₀, and W is what ``value_fn`` gets in
    its place. Its integers cannot take in what S has gathered, so ``refresh`` must be None.

    Args:
      tx: Any optimizer. Its weight decay draws S to 0, and W to W₀.
      rank: r ≥ 1; less where a matrix has fewer rows or columns.
      refresh: Steps of a period, F ≥ 1; None keeps U and V for the whole run.
      key: Typed PRNG key or int seed of U and V; it may be the estimator's.
      sides: ``"both"``; ``"left"``, c·U S with S of r × n; ``"right"``, c·S Vᵀ with S of m × r; or
        ``"diagonal"``, c·U diag(s) Vᵀ.
      basis: ``"haar"``: the columns of U and V are orthonormal, uniformly distributed;
        ``"gaussian"``: their elements are independent.
      matrix: ``matrix(path, leaf)`` says how a leaf is seen: how many leading axes number matrices,
        and how many axes after them are rows; None for an offset. By default an axis of stacked
        layers stays, under ``layers`` or ``blocks`` where all leaves agree on its length, and the
        rest is cut where rows and columns are the fewest together.
      evaluation: ``"streamed"`` needs the memory of ``value_fn``; ``"copy"`` forms every W, and so
        can be differentiated in reverse.
      in_update: Whether the update of a period's last step folds S into W₀. With False
        :func:`zojax.fold` does, between two steps: updates are then scalars, and a step does not
        touch W₀ at all. Above rank 32 it must be False.

    Returns:
      An optimizer whose ``update`` needs ``params``, and ``value_fn`` if ``tx`` needs it. Gradients
      given as ``updates`` are projected: Uᵀ G V · c. :func:`zojax.folded` gives the parameters as
      they stand. Integers stay.

    Cost: a step of ``tx``, with r·(m + n) drawn numbers a matrix and pass, and thin products of
      r·(m + n) multiply-adds for each row of activations. State: that of ``tx`` for S, twice, and
      S and two r × r factors a matrix, float32. With ``in_update`` an elementwise sum over r of all
      weights in each step.

    Raises:
      ValueError: ``rank`` or ``refresh`` < 1, ``rank`` > 32 with ``in_update``, an unknown choice,
        ``tx`` has a subspace itself, ``matrix`` leaves no columns, ``update`` got no ``params``, or
        weights are quantized and ``refresh`` or a gradient is given.
      TypeError: ``tx`` is no optimizer, or ``matrix`` gives something else.

    References:
      Yu et al., 2024, SubZero, arXiv:2410.08989 (both sides, orthonormal). Chen et al., 2024, LOZO,
      arXiv:2410.07698 (one side). Sun et al., 2025, TeZO, arXiv:2501.19057 (diagonal).

    Examples:
      >>> import jax, jax.numpy as jnp, optax, zojax
      >>> inner = zojax.zo_adamu(1e-2, eps=1e-3, key=0, num_steps=100)
      >>> tx = zojax.subspace(inner, rank=4, refresh=50, key=0)
      >>> params = {"w": jnp.ones((64, 32)), "b": jnp.ones(32)}
      >>> state = tx.init(params)
      >>> loss = lambda p: (p["w"] @ p["b"]).sum()
      >>> updates, state = tx.update(None, state, params, value_fn=loss)
      >>> params = optax.apply_updates(params, updates)
      >>> jax.tree.map(jnp.shape, state.coordinates)
      {'b': (32,), 'w': (4, 4)}
    """
    where = "subspace"
    _check.transformation(where, "tx", tx)
    _check.count(where, "rank", rank)
    if refresh is not None:
        _check.count(where, "refresh", refresh)
    _check.one_of(where, "sides", sides, ("both", "left", "right", "diagonal"))
    _check.one_of(where, "basis", basis, ("haar", "gaussian"))
    _check.one_of(where, "evaluation", evaluation, ("streamed", "copy"))
    _check.flag(where, "in_update", in_update)
    if in_update and refresh is not None and rank > MOST_IN_UPDATE:
        raise ValueError(
            f"subspace: in_update must be False for a rank above {MOST_IN_UPDATE}, got {rank}: "
            "compilers would form every matrix in the update. Call zojax.fold after each step."
        )
    fresh_key = _check.typed_key(where, key)
    general = Plan(rank, sides, basis, refresh, bool(in_update))
    inner = optax.with_extra_args_support(tx)

    def init(params: Params) -> SubspaceState:
        params = _check.parameters(where, params)
        refuse_others(where, params)
        _check_quantized(params, refresh, None)
        params = wholes(params)
        moving = part(params, _floating(params))
        plan, own_key = general.of(moving, matrix), fresh_key()
        leaves, tree = jax.tree.flatten(moving)
        coordinates = tree.unflatten(
            [
                jnp.zeros(plan.coordinates(x.shape, seen), jnp.float32)
                for x, seen in zip(leaves, plan.seen, strict=True)
            ]
        )
        first, period = inner.init(coordinates), jnp.zeros((), jnp.int32)
        if subspace_states(first):
            raise ValueError(
                "subspace: tx must not have a subspace of its own, whose coordinates would be lost "
                "where this one folds. Take one of the smaller rank."
            )
        return SubspaceState(
            count=jnp.zeros((), jnp.int32),
            key=own_key,
            period=period,
            coordinates=coordinates,
            inverses=whiteners(plan, own_key, period, moving),
            inner=first,
            # Copies, for the state may be donated, and no buffer twice.
            initial=tuple(jax.tree.leaves(jax.tree.map(jnp.copy, first))),
            plan=plan,
        )

    def update(
        updates: Any,
        state: Any,
        params: Any = None,
        *,
        value_fn: ValueFn | None = None,
        obj_fn: ValueFn | None = None,
        **extra_args: Any,
    ) -> tuple[Any, SubspaceState]:
        params = _check.parameters(where, params)
        nothing = jax.tree.map(no_update, params)
        _check_quantized(params, refresh, updates)
        params = wholes(params)
        chosen = _floating(params)
        moving = part(params, chosen)

        def added(coordinates: Any) -> Any:
            return offsets(state.plan, state.key, state.period, moving, coordinates, state.inverses)

        loss = _check.loss_function(where, value_fn, obj_fn)
        if loss is not None:
            whole = lambda moved: loss(merged(moved, chosen, params))  # noqa: E731
            # Of the model, beside which the coordinates are few.
            own_bytes = sum(anchor(leaf).nbytes for leaf in jax.tree.leaves(moving))
            model_bytes = max(extra_args.get("model_bytes", 0), own_bytes)
            extra_args["model_bytes"] = model_bytes
            at = copied(whole, moving) if evaluation == "copy" else None

            def of_coordinates(coordinates: Any) -> Any:
                if extra_args.get("asking") is not None:
                    return whole(at_point(moving, added(arrived(coordinates)), 1.0))
                perturbed = at or streamed(whole, moving, model_bytes)
                return perturbed(added(coordinates), 1.0)

            extra_args["value_fn"] = of_coordinates
        if updates is not None:
            updates = _projected(part(updates, chosen), added, state, moving)
        given: Any = updates  # an estimator needs none
        moved, inner_state = inner.update(given, state.inner, state.coordinates, **extra_args)
        node = state._replace(
            count=_check.next_count(state.count),
            coordinates=optax.apply_updates(state.coordinates, moved),
            inner=inner_state,
        )
        if refresh is None or not in_update:
            return nothing, node
        due = (node.count >= (node.period + 1) * refresh) & ~jnp.asarray(has_rested(inner_state))
        folds = [
            jnp.where(due, one.update(leaf), jnp.float32(-0.0))
            for one, leaf in zip(gathered(node, moving), jax.tree.leaves(moving), strict=True)
        ]
        new_updates = merged(jax.tree.unflatten(jax.tree.structure(moving), folds), chosen, nothing)
        return new_updates, _refreshed(due, node, moving)

    return laid_out(optax.GradientTransformationExtraArgs(init, update))  # pyright: ignore[reportArgumentType] - the state holds a plan


def _check_quantized(params: Any, refresh: int | None, updates: Any) -> None:
    """Refuse what quantized weights cannot do."""
    if not any_quantized(params):
        return
    if refresh is not None:
        raise ValueError(
            f"subspace: refresh must be None where weights are quantized, got {refresh}: at the "
            "end of a period their integers cannot take in what was gathered, and would round "
            "most of it away. The bases then stay for the whole run; a larger rank makes up for it."
        )
    weights = jax.tree.leaves(params, is_leaf=is_quantized)
    if any(is_quantized(weight) and weight.offset is not None for weight in weights):
        raise ValueError(
            "subspace: quantized weights must have no offset, got what zojax.folded gave, to which "
            "another subspace cannot be added. Start from the weights before it."
        )
    if updates is not None:
        raise ValueError(
            "subspace: updates must be None where weights are quantized, got a gradient, which "
            "integers do not have. Use an optimizer of zojax inside."
        )


def _refreshed(due: Array, node: SubspaceState, params: Any) -> SubspaceState:
    """The state of the next period where it is due, otherwise the same."""
    return lax.cond(due, lambda node: fresh(node, params), lambda node: node, node)


def _floating(params: Any) -> list[bool]:
    return [bool(jnp.issubdtype(leaf.dtype, jnp.floating)) for leaf in jax.tree.leaves(params)]


def _projected(gradient: Any, added: Any, state: SubspaceState, params: Any) -> Any:
    """The gradient with respect to the coordinates, of that with respect to the parameters."""
    leaves, tree = jax.tree.flatten(params)

    def moved(coordinates: Any) -> Any:
        return [drawn_at(z, leaf) for z, leaf in zip(added(coordinates), leaves, strict=True)]

    given = [g.astype(jnp.float32) for g in tree.flatten_up_to(gradient)]
    return jax.vjp(moved, state.coordinates)[1](given)[0]
