"""Chains that keep zojax's promises from the estimator to the update, and their last links."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any, ParamSpec, TypeAlias

import jax
import jax.numpy as jnp
import optax

from zojax import _check
from zojax._mesh import laid_out
from zojax._types import Array, ScalarOrSchedule
from zojax._xla import rounded
from zojax.coordinates import select
from zojax.estimators import estimator_states
from zojax.optimizers._moments import RestingLink

P = ParamSpec("P")
Factory: TypeAlias = Callable[P, optax.GradientTransformationExtraArgs]


def chain(
    estimator: optax.GradientTransformation, *links: optax.GradientTransformation
) -> optax.GradientTransformationExtraArgs:
    """``optax.chain`` of an estimator and what follows it, with three more promises.

    Every named optimizer is one. Its state is that of ``optax.chain``.

    - A step of which no slope is usable, for its losses are not finite or ε is 0, leaves the
      parameters their bits and the links' states, moments and their counts, as they were; only
      learning rate schedules continue. (In ``optax.chain`` it is a gradient of zeros: moments
      decay, and the parameters move along them.)
    - Moments are sharded as their parameters are.
    - Updates are rounded before they are added to the parameters, so that the replay of a logged
      run has the bits of the run; an update of 0, as at learning rate 0, leaves a parameter its
      bits.
    - Links see the floating-point parameters alone. Others stay, whatever a link says, and their
      updates are scalars, as those of :func:`zojax.select`.

    Args:
      estimator: The first link: ``zojax.spsa(...)``, say.
      *links: Links of optax or zojax, the learning rate among them.

    Returns:
      An optimizer whose ``update`` needs what the estimator's does.

    Cost: that of its links, and two elementwise operations on the update.

    Raises:
      TypeError: a link is no transformation.
      ValueError: ``init`` finds no estimator in the first link.

    Examples:
      >>> import optax, zojax
      >>> tx = zojax.chain(
      ...     zojax.spsa(1e-3, key=0),
      ...     optax.clip_by_global_norm(1.0),
      ...     optax.add_decayed_weights(0.1),
      ...     optax.scale_by_learning_rate(1e-6),
      ... )
    """
    _check.transformation("chain", "estimator", estimator)
    for link in links:
        _check.transformation("chain", "links", link)
    first = optax.with_extra_args_support(estimator)
    all_links: list[Any] = [optax.with_extra_args_support(link) for link in links]
    # Quantized bases are integers: they need no moments, and optax can multiply none of 4 bits.
    of_floats: list[Any] = [select(link, _is_float) for link in links]

    def init(params: Any) -> Any:
        moved = all_links if _all_float(params) else of_floats
        state = (first.init(params), *(link.init(params) for link in moved))
        if not estimator_states(state[0]):
            raise ValueError(
                "chain: estimator must be one of zojax's, such as zojax.spsa(...), got a link "
                "without one. It comes first: it ignores the updates of what stands before it."
            )
        return state

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        updates, estimate = first.update(updates, state[0], params, **extra_args)
        rested = estimator_states(estimate)[0].rested
        step = {"rested": rested, "count": estimator_states(state[0])[0].count}
        moved, new = all_links if _all_float(params) else of_floats, [estimate]
        for link, before, given in zip(moved, state[1:], links, strict=True):
            rests = isinstance(given, RestingLink)
            extra = {**extra_args, **step} if rests else extra_args
            updates, after = link.update(updates, before, params, **extra)
            new.append(after if rests else _kept(rested, before, after))
        updates = jax.tree.map(
            partial(_settled, rested), updates, params, is_leaf=lambda update: update is None
        )
        return updates, tuple(new)

    return laid_out(optax.GradientTransformationExtraArgs(init, update))


def _is_float(path: str, leaf: Any) -> bool:
    del path
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def _all_float(params: Any) -> bool:
    return all(jnp.issubdtype(jnp.result_type(x), jnp.floating) for x in jax.tree.leaves(params))


@jax.jit
def _settled(rested: Array, update: Array | None, parameter: Array) -> Array | None:
    """The update as it is added: rounded, and −0.0 or an integer 0 where nothing may change.

    Adding −0.0 leaves every number as it is, where adding 0.0 would turn −0.0 into 0.0.
    """
    if update is None:  # of a PRNG key, to which nothing can be added
        return None
    if jnp.issubdtype(jnp.result_type(parameter), jnp.integer):
        return jnp.zeros((), jnp.result_type(parameter))
    if not jnp.issubdtype(update.dtype, jnp.floating):
        zero = complex(-0.0, -0.0) if jnp.iscomplexobj(update) else 0
        return jnp.where(rested, jnp.asarray(zero, update.dtype), update)
    return jnp.where(rested | (update == 0), jnp.asarray(-0.0, update.dtype), rounded(update))


def _kept(rested: Array, before: Any, after: Any) -> Any:
    """A link's state after a step that may have rested."""
    if isinstance(after, optax.ScaleByScheduleState):
        return after  # its count is that of the steps, as the estimator's is
    if isinstance(after, optax.InjectStatefulHyperparamsState):
        kept = _kept(rested, before.inner_state, after.inner_state)
        return after._replace(inner_state=kept)
    if isinstance(after, tuple):
        kept = [_kept(rested, b, a) for b, a in zip(before, after, strict=True)]
        return type(after)(*kept) if hasattr(after, "_fields") else tuple(kept)
    return jax.tree.map(lambda b, a: jnp.where(rested, b, a), before, after)


def decay(where: str, weight_decay: ScalarOrSchedule, mask: Any) -> optax.GradientTransformation:
    """A link that adds λθ where ``mask`` says so; everywhere where it is None."""
    _check.non_negative(where, "weight_decay", weight_decay)
    _check.decay_mask(where, mask)
    # Without decay the link would still read every parameter.
    if isinstance(weight_decay, int | float) and weight_decay == 0:
        return optax.identity()
    return optax.add_decayed_weights(weight_decay, mask)


def descend(where: str, learning_rate: ScalarOrSchedule) -> optax.GradientTransformation:
    """``optax.scale_by_learning_rate``, checked."""
    _check.non_negative(where, "learning_rate", learning_rate)
    return optax.scale_by_learning_rate(learning_rate)


def speaks_for(*parts: str, name: str | None = None) -> Callable[[Factory[P]], Factory[P]]:
    """A decorator for a factory that is made of others: their errors begin with its own name.

    The user of ``mezo``, who never called ``spsa``, reads ``mezo: eps must be > 0``.
    This applies to the factory and to ``init`` and ``update`` of what it returns.

    Args:
      parts: Names of the functions it is made of, with which their messages begin.
      name: Its own name; that of the function where None.

    Returns:
      A decorator that keeps the signature.
    """

    def decorate(factory: Factory[P]) -> Factory[P]:
        own = name or factory.__name__

        @contextmanager
        def renamed() -> Generator[None]:
            try:
                yield
            except (TypeError, ValueError) as error:
                # In place, so that the traceback ends where the error was raised, with nothing
                # "during handling of" it.
                error.args = (_renamed(str(error), parts, own), *error.args[1:])
                raise

        @functools.wraps(factory)
        def make(*args: P.args, **kwargs: P.kwargs) -> optax.GradientTransformationExtraArgs:
            with renamed():
                tx = factory(*args, **kwargs)

            def init(params: Any) -> Any:
                with renamed():
                    return tx.init(params)

            def update(
                updates: Any, state: Any, params: Any = None, **extra_args: Any
            ) -> tuple[Any, Any]:
                with renamed():
                    return tx.update(updates, state, params, **extra_args)

            return optax.GradientTransformationExtraArgs(init, update)

        make.__name__ = make.__qualname__ = own
        return make

    return decorate


def _renamed(message: str, parts: tuple[str, ...], own: str) -> str:
    for part in parts:
        # "spsa: " begins a message of ours, "spsa() " one of Python's about the arguments.
        for mark in (": ", "() "):
            if message.startswith(part + mark):
                return own + message[len(part) :]
    return message
