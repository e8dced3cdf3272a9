"""An optimizer for some of the parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from zojax import _check
from zojax._types import Array, Params, ValueFn
from zojax.selection._parts import part, whole
from zojax.selection._where import Where, selected


def select(tx: optax.GradientTransformation, where: Where) -> optax.GradientTransformationExtraArgs:
    r"""Lets an optimizer move some of the parameters, and the others stay.

    .. math:: \theta_S \leftarrow \theta_S + u(\theta_S), \qquad \theta_{\bar S} \leftarrow
        \theta_{\bar S}

    The optimizer sees a tree without the parameters that stay: it neither draws noise for them nor
    keeps state. ``value_fn`` always gets the whole tree. (``optax.masked`` and
    ``optax.partition`` would hand it a tree with holes.)

    Args:
      tx: Any optimizer or link, of zojax or optax. Put ``select`` around the whole chain.
      where: Which parameters move, by their '/'-joined paths, such as
        ``"decoder/layers/0/fc1/kernel"``:

        - a glob for the whole path, in which ``*`` stands for any text, slashes too:
          ``"*/layers/1?/*"``;
        - a compiled regular expression, to be found in the path: ``re.compile("q_proj|v_proj")``;
        - a sequence of these, of which each must match something;
        - a function ``where(path, leaf) -> bool``;
        - a tree of bools like the parameters; one bool may stand for a whole branch.

    Returns:
      An optimizer with the state of ``tx``. Of a parameter that stays, the update is a scalar -0,
      which ``optax.apply_updates`` adds and the compiler drops: a compiled step with donated
      parameters neither reads nor writes it. A mask of weight decay inside ``tx`` must be a
      function, for the tree that it sees is smaller.

    Cost: that of ``tx`` on the parameters that move; forward passes are of the whole model.

    Raises:
      ValueError: A pattern matches nothing, nothing is selected, a tree of bools has another
        structure, or ``update`` got no ``params``.
      TypeError: ``where`` gives something else than bools.

    Examples:
      >>> import jax, jax.numpy as jnp, optax, zojax
      >>> tx = zojax.select(zojax.zo_adam(1e-2, 1e-3, key=0), "head/*")
      >>> params = {"body": {"w": jnp.ones(3)}, "head": {"w": jnp.ones(3)}}
      >>> state = tx.init(params)
      >>> updates, state = tx.update(
      ...     None, state, params, value_fn=lambda p: (p["body"]["w"] * p["head"]["w"]).sum()
      ... )
      >>> params = optax.apply_updates(params, updates)
      >>> params["body"]["w"].tolist(), bool((params["head"]["w"] != 1).all())
      ([1.0, 1.0, 1.0], True)
    """
    inner = optax.with_extra_args_support(tx)

    def init(params: Params) -> Any:
        return inner.init(part(params, selected("select", where, params)))

    def update(
        updates: Any,
        state: Any,
        params: Any = None,
        *,
        value_fn: ValueFn | None = None,
        **extra_args: Any,
    ) -> tuple[Any, Any]:
        _check.parameters("select", params)
        chosen = selected("select", where, params)
        if value_fn is not None:
            extra_args["value_fn"] = lambda moving: value_fn(whole(moving, chosen, params))
        updates = None if updates is None else part(updates, chosen)
        updates, state = inner.update(updates, state, part(params, chosen), **extra_args)
        return whole(updates, chosen, jax.tree.map(_no_update, params)), state

    return optax.GradientTransformationExtraArgs(init, update)


def _no_update(parameter: Array) -> Array:
    # x + -0 is x to the bit, also for x = -0, so compilers may drop it. A scalar, because outside
    # of jit zeros of the parameter's shape would be real memory.
    return jnp.full((), -0.0, jnp.result_type(parameter))
