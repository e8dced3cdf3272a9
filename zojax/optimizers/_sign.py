"""ZO-SGD-Sign: steps of one size."""

from typing import Any, Literal, Unpack

import optax

from zojax import _check
from zojax._named import speaks_for
from zojax._types import KeyLike, ScalarOrSchedule
from zojax.estimators import spsa
from zojax.optimizers._chain import chain
from zojax.optimizers._decay import decay
from zojax.optimizers._descend import descend
from zojax.optimizers._options import SpsaOptions


@speaks_for("spsa")
def zo_sgd_sign(
    learning_rate: ScalarOrSchedule,
    eps: ScalarOrSchedule,
    key: KeyLike,
    *,
    sign_of: Literal["gradient", "slope"] = "gradient",
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
    **options: Unpack[SpsaOptions],
) -> optax.GradientTransformationExtraArgs:
    r"""ZO-SGD-Sign: the sign of the estimate instead of the estimate.

    .. math::
        \theta \leftarrow \theta - \eta\,(\mathrm{sign}(\hat g) + \lambda\theta)

    or, with ``sign_of="slope"``, with :math:`\frac1q \sum_i \mathrm{sign}(g_i)\, z_i` in place of
    :math:`\mathrm{sign}(\hat g)`, where :math:`g_i` is the slope along :math:`z_i`. The paper
    has the first; the code released with arXiv:2402.11592 runs the second. With random signs for z
    and one query they are one and the same.

    Args:
      learning_rate: η in parameter units, the length of each step of each parameter; a float or a
        schedule of the step.
      eps: Perturbation scale in parameter units; a float > 0 or a schedule.
      key: Typed PRNG key or int seed.
      sign_of: ``"gradient"``, elementwise, or ``"slope"``, one sign for each query.
      weight_decay, mask: As in :func:`zojax.mezo`.
      **options: ``num_queries``, ``direction``, ``difference``, ``evaluation``, ``batched``,
        ``has_aux`` of :func:`zojax.spsa`.

    Returns:
      An optimizer whose ``update`` needs ``params`` and ``value_fn``; its updates may be ``None``.

    Cost: as :func:`zojax.spsa`; no state beyond scalars.
    Error: biased, for the mean of a sign is not the sign of the mean.

    Raises:
      ValueError, TypeError: as :func:`zojax.spsa`; ``sign_of`` is neither; ``learning_rate`` or
        ``weight_decay`` is negative.

    References:
      Liu et al., 2019, "signSGD via Zeroth-Order Oracle", ICLR. Zhang et al., 2024,
      arXiv:2402.11592.

    Examples:
      >>> import jax.numpy as jnp, zojax
      >>> tx = zojax.zo_sgd_sign(learning_rate=0.5, eps=1e-3, key=0)
      >>> params = jnp.array([3.0, -4.0])
      >>> updates, _ = tx.update(None, tx.init(params), params, value_fn=lambda p: (p**2).sum())
      >>> abs(updates).tolist()
      [0.5, 0.5]
    """
    _check.one_of("zo_sgd_sign", "sign_of", sign_of, ("gradient", "slope"))
    of_slope = sign_of == "slope"
    return chain(
        spsa(eps, key, slope_sign=of_slope, **options),
        optax.identity() if of_slope else optax.scale_by_sign(),
        decay("zo_sgd_sign", weight_decay, mask),
        descend("zo_sgd_sign", learning_rate),
    )
