"""Named optimizers: short chains of a direction, an estimator and a rule."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from zojax import _check
from zojax._types import Difference, Evaluation, KeyLike, ScalarOrSchedule
from zojax.directions import Direction, Gaussian
from zojax.estimators import spsa
from zojax.rules import Anneal, adamu


def mezo(
    learning_rate: ScalarOrSchedule,
    eps: ScalarOrSchedule,
    key: KeyLike,
    *,
    num_queries: int = 1,
    direction: Direction = Gaussian(),  # noqa: B008 (frozen)
    difference: Difference = "central",
    evaluation: Evaluation = "streamed",
    batched: bool = False,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
) -> optax.GradientTransformationExtraArgs:
    r"""MeZO, which is ZO-SGD: stochastic gradient descent on a two-point estimate.

    .. math::
        \theta \leftarrow \theta - \eta\,(\hat g + \lambda\theta)

    Args:
      learning_rate: η; a float or a schedule of the step. The paper tunes whole models at 1e-6.
      eps: Perturbation scale in parameter units; a float > 0 or a schedule. The paper's is 1e-3.
      key: Typed PRNG key or int seed.
      num_queries, direction, difference, evaluation, batched: See :func:`zojax.spsa`.
      weight_decay: λ ≥ 0; a float or a schedule.
      mask: Tree of bools, or a function of the parameters that gives one: where λ applies.
        Usual is to spare biases and layer norms.

    Returns:
      An optimizer whose ``update`` needs ``params`` and ``value_fn``; its updates may be ``None``.

    Cost: as :func:`zojax.spsa`; no state beyond scalars.

    Raises:
      ValueError, TypeError: as :func:`zojax.spsa`; ``weight_decay`` is negative.

    References:
      Malladi et al., 2023, arXiv:2305.17333, Algorithm 1.

    Examples:
      >>> import jax, jax.numpy as jnp, optax, zojax
      >>> tx = zojax.mezo(learning_rate=0.05, eps=1e-3, key=0)
      >>> params = {"w": jnp.array([1.0, -2.0])}
      >>> state = tx.init(params)
      >>> @jax.jit
      ... def step(params, state):
      ...     loss = lambda p: jnp.sum(p["w"] ** 2)
      ...     updates, state = tx.update(None, state, params, value_fn=loss)
      ...     return optax.apply_updates(params, updates), state
      >>> for _ in range(200):
      ...     params, state = step(params, state)
      >>> bool(optax.tree_utils.tree_get(state, "value") < 1e-3)
      True
    """
    return optax.chain(
        spsa(
            eps,
            key,
            num_queries=num_queries,
            direction=direction,
            difference=difference,
            evaluation=evaluation,
            batched=batched,
        ),
        _decay("mezo", weight_decay, mask),
        optax.scale_by_learning_rate(learning_rate),
    )


zo_sgd = mezo


def zo_adamu(
    learning_rate: ScalarOrSchedule,
    eps: ScalarOrSchedule,
    key: KeyLike,
    *,
    phases: tuple[int, int, int] = (1024, 16000, 20000),
    anneal: Anneal = "figure",
    alpha: ScalarOrSchedule | None = None,
    beta1: ScalarOrSchedule | None = None,
    beta2: ScalarOrSchedule | None = None,
    signed_momentum: bool = True,
    store_nu: bool = False,
    mu_dtype: Any = None,
    direction: Direction = Gaussian(),  # noqa: B008 (frozen)
    evaluation: Evaluation = "streamed",
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
) -> optax.GradientTransformationExtraArgs:
    r"""ZO-AdaMU: momentum and adaptivity in the perturbation.

    .. math::
        \theta \leftarrow \theta - \eta\,\Bigl(\frac{g\,m_t}{\sqrt{v_t + 10^{-8}}}
        + \lambda\theta\Bigr)

    Args:
      learning_rate: η; a float or a schedule of the step. The paper tunes whole models at 1e-4.
      eps: Perturbation scale in parameter units; a float > 0 or a schedule. The paper's is 1e-3
        for whole models, 1e-2 for prefixes and 1e-1 for LoRA.
      key: Typed PRNG key or int seed.
      phases, anneal, alpha, beta1, beta2, signed_momentum: See :func:`zojax.adamu`.
      store_nu, mu_dtype, direction, evaluation: See :func:`zojax.adamu`.
      weight_decay: λ ≥ 0; a float or a schedule.
      mask: Tree of bools, or a function of the parameters that gives one: where λ applies.

    Returns:
      An optimizer whose ``update`` needs ``params`` and ``value_fn``; its updates may be ``None``.

    Cost: 2 forward passes a step; one buffer of the parameters' size, two with ``store_nu``.

    Raises:
      ValueError, TypeError: as :func:`zojax.adamu`; ``weight_decay`` is negative.

    References:
      Jiang et al., 2024, arXiv:2312.15184, Algorithm 1.
    """
    return optax.chain(
        adamu(
            eps,
            key,
            phases=phases,
            anneal=anneal,
            alpha=alpha,
            beta1=beta1,
            beta2=beta2,
            signed_momentum=signed_momentum,
            store_nu=store_nu,
            mu_dtype=mu_dtype,
            direction=direction,
            evaluation=evaluation,
        ),
        _decay("zo_adamu", weight_decay, mask),
        optax.scale_by_learning_rate(learning_rate),
    )


def _decay(where: str, weight_decay: ScalarOrSchedule, mask: Any) -> optax.GradientTransformation:
    _check.non_negative(where, "weight_decay", weight_decay)
    # Without decay the link would still read every parameter.
    if isinstance(weight_decay, int | float) and weight_decay == 0:
        return optax.identity()
    return optax.add_decayed_weights(weight_decay, _floating if mask is None else mask)


def _floating(params: Any) -> Any:
    """Marks the leaves that can decay: integers stay."""
    return jax.tree.map(lambda leaf: jnp.issubdtype(leaf.dtype, jnp.floating), params)
