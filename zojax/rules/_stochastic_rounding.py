"""Updates of 16-bit parameters, rounded by chance, so that small ones land on average."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from zojax import _check
from zojax._mesh import laid_out
from zojax._sixteen_bits import by_chance, is_16_bit
from zojax._types import Array, KeyLike
from zojax.directions import Uniform, drawn_at

# Told apart from a direction's numbers, which the same key may draw.
_STREAM = 0x57CA57


class StochasticRoundingState(NamedTuple):
    """State of :func:`stochastic_rounding`."""

    count: Array  # pyright: ignore[reportIncompatibleMethodOverride] - int32 []: updates so far
    key: Array  # typed key []: constant

    def restarted(self, first: Any) -> "StochasticRoundingState":
        """The state where a subspace begins anew: it goes on."""
        del first
        return self


def stochastic_rounding(*, key: KeyLike) -> optax.GradientTransformationExtraArgs:
    r"""A last link by which small updates of 16-bit parameters land: θ is rounded by chance.

    .. math:: \theta \leftarrow \lfloor\theta + u\rceil, \qquad
        \Pr\bigl[\lfloor x\rceil = \lceil x\rceil\bigr] = \frac{x - \lfloor x\rfloor}
        {\lceil x\rceil - \lfloor x\rfloor}

    ``optax.apply_updates`` rounds θ + u to the nearest number. An update below half the distance
    to the next one, 6e-5 for bfloat16 weights of 0.02, is then lost, every time. Rounded by
    chance it moves θ by a whole distance with a small probability, so that E[θ] is that of
    float32. The update that this link returns is the difference to the rounded number, which
    ``optax.apply_updates`` adds without error (under JAX's standard promotion of dtypes).

    Put it last in a chain. It needs no ``value_fn``, works after any optimizer, and a log replays
    it: chances follow from (key, step, path, index).

    Args:
      key: Typed PRNG key or int seed; it may be the estimator's.

    Returns:
      A link whose ``update`` needs ``params``; updates of bfloat16 and float16 parameters become
      float32, others stay.

    Cost: no memory; about 30 operations an element of a 16-bit parameter.
    Error: a random walk about float32's θ, of about one distance times the root of the number of
      times that it moved.

    Raises:
      TypeError: ``key`` is not a key or a seed.
      ValueError: ``params`` are not given.

    References:
      Gupta et al., 2015, "Deep Learning with Limited Numerical Precision", arXiv:1502.02551.

    Examples:
      >>> import jax.numpy as jnp, optax, zojax
      >>> tx = zojax.chain(
      ...     zojax.spsa(1e-3, key=0),
      ...     optax.scale_by_learning_rate(1e-6),
      ...     zojax.stochastic_rounding(key=0),
      ... )
    """
    fresh_key = _check.typed_key("stochastic_rounding", key)

    def init(params: Any) -> StochasticRoundingState:
        del params
        key = jax.random.fold_in(fresh_key(), _STREAM)
        return StochasticRoundingState(jnp.zeros((), jnp.int32), key)

    def update(
        updates: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, StochasticRoundingState]:
        del extra_args
        if params is None:
            raise ValueError("stochastic_rounding: params are needed: give them to update.")
        draws, _ = Uniform().at_step((), state.key, state.count, 1, params)
        leaves, tree = jax.tree.flatten(params)

        def landed(update: Any, parameter: Any, noise: Any) -> Any:
            if noise is None or not is_16_bit(parameter) or update is None:
                return update
            if jnp.shape(update) != parameter.shape:  # of a parameter that stays
                return update
            wide = parameter.astype(jnp.float32)
            target = wide + update.astype(jnp.float32)
            return by_chance(target, parameter.dtype, drawn_at(noise, parameter)) - wide

        moved = map(landed, tree.flatten_up_to(updates), leaves, draws.query(0))
        count = _check.next_count(state.count)
        return tree.unflatten([*moved]), StochasticRoundingState(count, state.key)

    return laid_out(optax.GradientTransformationExtraArgs(init, update))
