"""ZO-AdaMU: descent along a direction that remembers."""

from typing import Any

import optax

from zojax._named import speaks_for
from zojax._types import Evaluation, KeyLike, ScalarOrSchedule
from zojax.directions import Direction, Gaussian
from zojax.optimizers._chain import chain
from zojax.optimizers._decay import decay
from zojax.optimizers._descend import descend
from zojax.rules import Anneal, adamu
from zojax.streaming import HasAux


@speaks_for("adamu")
def zo_adamu(
    learning_rate: ScalarOrSchedule,
    eps: ScalarOrSchedule,
    key: KeyLike,
    *,
    num_steps: int | None = None,
    phases: tuple[int, int, int] | None = None,
    anneal: Anneal = "figure",
    alpha: ScalarOrSchedule | None = None,
    beta1: ScalarOrSchedule | None = None,
    beta2: ScalarOrSchedule | None = None,
    signed_momentum: bool = True,
    store_nu: bool = False,
    mu_dtype: Any = None,
    direction: Direction = Gaussian(),  # noqa: B008 (frozen)
    evaluation: Evaluation = "streamed",
    has_aux: HasAux = False,
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
      num_steps: The training's length, over which α, β₁ and β₂ are annealed as in the paper.
      phases, anneal, alpha, beta1, beta2, signed_momentum: See :func:`zojax.adamu`; the paper's
        phases are those of 20,000 steps.
      store_nu, mu_dtype, direction, evaluation, has_aux: See :func:`zojax.adamu`.
      weight_decay: λ ≥ 0; a float or a schedule.
      mask: Tree of bools, or a function of the parameters that gives one: where λ applies.

    Returns:
      An optimizer whose ``update`` needs ``params`` and ``value_fn``; its updates may be ``None``.

    Cost: 2 forward passes a step; one buffer of the parameters' size, two with ``store_nu``.

    Raises:
      ValueError, TypeError: as :func:`zojax.adamu`; ``learning_rate`` or
        ``weight_decay`` is negative.

    References:
      Jiang et al., 2024, arXiv:2312.15184, Algorithm 1.

    Examples:
      >>> import zojax
      >>> tx = zojax.zo_adamu(learning_rate=1e-4, eps=1e-3, key=0, num_steps=1000)
    """
    return chain(
        adamu(
            eps,
            key,
            num_steps=num_steps,
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
            has_aux=has_aux,
        ),
        decay("zo_adamu", weight_decay, mask),
        descend("zo_adamu", learning_rate),
    )
