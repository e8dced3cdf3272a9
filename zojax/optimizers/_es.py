"""Evolution strategies: descent along the scores of a population of perturbed parameters."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import optax

from zojax import _check
from zojax._types import Evaluation, HasAux, KeyLike, ScalarOrSchedule
from zojax.directions import LowRank
from zojax.estimators import spsa
from zojax.optimizers._chain import chain, decay, descend, speaks_for

Shaping: TypeAlias = Literal["ranks", "spread"]


@speaks_for("spsa", "LowRank")
def es(
    learning_rate: ScalarOrSchedule,
    *,
    eps: ScalarOrSchedule = 1e-3,
    key: KeyLike,
    population: int = 32,
    rank: int = 1,
    shaping: Shaping | None = "ranks",
    evaluation: Evaluation = "streamed",
    batched: bool = True,
    has_aux: HasAux = False,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Evolution strategies: antithetic pairs of low-rank perturbations, weighed by their scores.

    .. math::
        \theta \leftarrow \theta - \eta\,\Bigl(\frac2N \sum_{i=1}^{N/2}
        \frac{r(L_i^+) - r(L_i^-)}2\, z_i + \lambda\theta\Bigr), \qquad
        L_i^\pm = L(\theta \pm \epsilon z_i)

    with the centred ranks r of all N losses, of mean 0 and standard deviation 1. For a reward, give
    its negative as the loss.

    A score is of order 1 whatever the loss is, so η has one unit: an update changes a weight by
    about :math:`\eta / \sqrt N` (root mean square). A rate of 1e-4 … 1e-3 suits many tasks.

    Args:
      learning_rate: η; a float or a schedule of the step.
      eps: ε, the members' distance from θ in parameter units; a float > 0 or a schedule.
      key: Typed PRNG key or int seed.
      population: N, even: losses a step, of N/2 pairs.
      rank: Of every matrix's perturbation; see :class:`zojax.LowRank`.
      shaping: What is made of the losses: ``"ranks"``, :func:`zojax.slope_rules.ranks`;
        ``"spread"``, differences over their standard deviation, :func:`zojax.slope_rules.spread`;
        None, plain differences over 2ε, whose rate is that of :func:`zojax.mezo`.
      evaluation, has_aux: See :func:`zojax.spsa`.
      batched: All members in one pass, which share each product with the weights; False evaluates
        one after the other.
      weight_decay, mask: As in :func:`zojax.mezo`.

    Returns:
      An optimizer whose ``update`` needs ``params`` and ``value_fn``; its updates may be ``None``.
      A member whose loss is not finite is left out with its partner. For losses that come from
      outside, such as a person's or a simulator's, see :func:`zojax.ask_tell`.

    Cost: N forward passes, ``batched`` as one pass over a batch N times as large; no state beyond
      scalars.
    Error: ranks keep the order of the losses alone: where half of a population fails alike, the
      other half decides.

    Raises:
      ValueError, TypeError: as :func:`zojax.spsa` and :class:`zojax.LowRank`; ``population`` is odd
        or less than 2 (4 for ``"spread"``), or ``shaping`` is unknown.

    References:
      Salimans et al., 2017, arXiv:1703.03864. Sarkar et al., 2025, EGGROLL, arXiv:2511.16652.

    Examples:
      >>> import jax, jax.numpy as jnp, optax, zojax
      >>> tx = zojax.es(learning_rate=0.1, eps=1e-2, key=0, population=8)
      >>> params = {"w": jnp.ones((4, 3))}
      >>> state = tx.init(params)
      >>> @jax.jit
      ... def step(params, state):
      ...     loss = lambda p: jnp.sum(p["w"] ** 2)
      ...     updates, state = tx.update(None, state, params, value_fn=loss)
      ...     return optax.apply_updates(params, updates), state
      >>> for _ in range(100):
      ...     params, state = step(params, state)
      >>> bool(zojax.last_loss(state) < 1.0)
      True
    """
    _check.count("es", "population", population)
    if population % 2:
        raise ValueError(
            f"es: population must be even, got {population}: its members come in pairs."
        )
    if shaping is not None:
        _check.one_of("es", "shaping", shaping, ("ranks", "spread"))
    if shaping == "spread" and population < 4:
        raise ValueError(
            f'es: population must be >= 4 for shaping="spread", got {population}: one difference '
            "has no spread."
        )
    return chain(
        spsa(
            eps,
            key=key,
            num_queries=population // 2,
            direction=LowRank(rank),
            slope_rule=shaping,
            evaluation=evaluation,
            batched=batched,
            has_aux=has_aux,
        ),
        decay("es", weight_decay, mask),
        descend("es", learning_rate),
    )
