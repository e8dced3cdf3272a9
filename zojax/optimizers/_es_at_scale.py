"""ES-at-Scale: evolution strategies as their authors run them on language models."""

from __future__ import annotations

import optax

from zojax import _check
from zojax._types import Evaluation, HasAux, KeyLike, ScalarOrSchedule
from zojax.estimators import spsa
from zojax.optimizers._chain import chain, descend, speaks_for


@speaks_for("spsa")
def es_at_scale(
    learning_rate: ScalarOrSchedule = 5e-4,
    *,
    eps: ScalarOrSchedule = 1e-3,
    key: KeyLike,
    population: int = 30,
    evaluation: Evaluation = "streamed",
    has_aux: HasAux = False,
) -> optax.GradientTransformationExtraArgs:
    r"""ES-at-Scale: full Gaussian noise at one end, and z-scores of the rewards.

    .. math::
        \theta \leftarrow \theta + \alpha\,\frac1N \sum_i
        \frac{R_i - \bar R}{\mathrm{std}(R) + 10^{-8}}\, z_i,
        \qquad R_i = -L(\theta + \sigma z_i)

    The settings are those of the released code. There all parameters of one shape have equal noise;
    here each has its own. A reward that is not finite is left out; the code counts it as 0.

    Args:
      learning_rate: α, theirs is σ/2; a float or a schedule of the step.
      eps: σ; a float > 0 or a schedule.
      key: Typed PRNG key or int seed.
      population: N ≥ 2.
      evaluation, has_aux: See :func:`zojax.spsa`.

    Returns:
      An optimizer whose ``update`` needs ``params`` and ``value_fn``; its updates may be ``None``.

    Cost: N forward passes; no state beyond scalars. An update changes a weight by about α/√N.

    Raises:
      ValueError, TypeError: as :func:`zojax.spsa`; ``population`` < 2.

    References:
      Qiu et al., 2025, arXiv:2509.24372.

    Examples:
      >>> import zojax
      >>> tx = zojax.optimizers.es_at_scale(key=0)
    """
    _check.count("es_at_scale", "population", population)
    if population < 2:
        raise ValueError(
            f"es_at_scale: population must be >= 2, got {population}: one reward has no mean of "
            "others to be compared with."
        )
    return chain(
        spsa(
            eps,
            key=key,
            num_queries=population,
            difference="centred",
            slope_rule="z_scores",
            evaluation=evaluation,
            has_aux=has_aux,
        ),
        descend("es_at_scale", learning_rate),
    )
