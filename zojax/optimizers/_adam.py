"""ZO-Adam."""

from typing import Any, Unpack

import jax.numpy as jnp
import optax

from zojax import _check
from zojax._named import speaks_for
from zojax._types import KeyLike, ScalarOrSchedule
from zojax.estimators import spsa
from zojax.optimizers._chain import chain
from zojax.optimizers._decay import decay
from zojax.optimizers._descend import descend
from zojax.optimizers._options import SpsaOptions, scheduled
from zojax.rules import in_float32


@speaks_for("spsa")
def zo_adam(
    learning_rate: ScalarOrSchedule,
    eps: ScalarOrSchedule,
    key: KeyLike,
    *,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    adam_eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
    **options: Unpack[SpsaOptions],
) -> optax.GradientTransformationExtraArgs:
    r"""ZO-Adam: Adam on the two-point estimate.

    .. math::
        m &\leftarrow \beta_1 m + (1-\beta_1)\,\hat g, \qquad
        v \leftarrow \beta_2 v + (1-\beta_2)\,\hat g^2 \\
        \theta &\leftarrow \theta - \eta\,\Bigl(
        \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + 10^{-8}} + \lambda\theta\Bigr)

    Args:
      learning_rate: η in parameter units; a float or a schedule of the step.
      eps: Perturbation scale in parameter units; a float > 0 or a schedule. It is not Adam's
        epsilon, which is ``adam_eps``.
      key: Typed PRNG key or int seed.
      b1, b2: β₁ and β₂ in [0, 1]; floats or schedules.
      adam_eps: Added to the denominator; a float >= 0 or a schedule.
      weight_decay, mask: As in :func:`zojax.mezo`; decoupled, as in AdamW.
      **options: ``num_queries``, ``direction``, ``difference``, ``evaluation``, ``batched``,
        ``has_aux`` of :func:`zojax.spsa`.

    Returns:
      An optimizer whose ``update`` needs ``params`` and ``value_fn``; its updates may be ``None``.

    Cost: as :func:`zojax.spsa`, and two float32 buffers with as many elements as the parameters.
      In bfloat16 β₂ = 0.999 would be 1, and v would never decay.
    Error: with one query all elements of ĝ share one slope, so v is nearly the same everywhere
      and the method is nearly ZO-SGD with momentum and a scaled learning rate.

    Raises:
      ValueError, TypeError: as :func:`zojax.spsa`; ``b1`` or ``b2`` is outside [0, 1];
        ``learning_rate``, ``adam_eps`` or ``weight_decay`` is negative.

    References:
      Kingma and Ba, 2015, arXiv:1412.6980. Zhang et al., 2024, arXiv:2402.11592.

    Examples:
      >>> import zojax
      >>> tx = zojax.zo_adam(learning_rate=1e-5, eps=1e-3, key=0)
    """
    _check.fraction("zo_adam", "b1", b1)
    _check.fraction("zo_adam", "b2", b2)
    _check.non_negative("zo_adam", "adam_eps", adam_eps)
    return chain(
        spsa(eps, key, **options),
        in_float32(scheduled(optax.scale_by_adam, jnp.float32, b1=b1, b2=b2, eps=adam_eps)),
        decay("zo_adam", weight_decay, mask),
        descend("zo_adam", learning_rate),
    )
