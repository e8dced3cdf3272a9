"""Gradients from differences of losses along random directions."""

from __future__ import annotations

import optax

from zojax import _check
from zojax._types import Difference, Evaluation, HasAux, KeyLike, ScalarOrSchedule
from zojax.directions import DirectionLike, direction_of
from zojax.estimators._estimator import estimator
from zojax.estimators._slopes import differences, parted
from zojax.slope_rules import SlopeRuleLike
from zojax.streaming import EVALUATIONS


def spsa(
    eps: ScalarOrSchedule,
    *,
    key: KeyLike,
    num_queries: int = 1,
    direction: DirectionLike = "gaussian",
    difference: Difference = "central",
    slope_rule: SlopeRuleLike | None = None,
    evaluation: Evaluation = "streamed",
    batched: bool = False,
    has_aux: HasAux = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Estimates the gradient from losses at both ends of random directions.

    .. math::
        \hat g = \frac1q \sum_i
        \frac{L(\theta + \epsilon z_i) - L(\theta - \epsilon z_i)}{2\epsilon}\, z_i

    A slope of which a loss is not finite, or whose ε is 0, is counted in the state's ``skipped``;
    the estimate is the mean over the other queries.

    Args:
      eps: Perturbation scale in parameter units; a float > 0 or a schedule of ``count``.
      key: Typed PRNG key or int seed. ``(key, count)`` and the direction's state replay any step.
      num_queries: Directions per step, q ≥ 1.
      direction: Makes z, shaped like each leaf: a :class:`zojax.Direction`, or ``"gaussian"``,
        ``"rademacher"``, ``"sphere"`` or ``"low_rank"``.
      difference: ``"central"``, as above; ``"forward"``:
        :math:`(L(\theta + \epsilon z_i) - L(\theta))/\epsilon`; or ``"centred"``:
        :math:`(L(\theta + \epsilon z_i) - \bar L)/\epsilon \cdot q/(q - 1)` with the mean
        :math:`\bar L` of the queries' losses, q ≥ 2.
      slope_rule: What scales the slopes: one of :mod:`zojax.slope_rules` or its name, or any
        transformation of optax; it maps float32 [q] to float32 [q]. ``"ranks"`` and ``"z_scores"``
        score the losses of the step before, central or centred. None leaves them.
      evaluation: ``"streamed"`` perturbs each weight where it is consumed; ``"copy"`` makes a
        perturbed copy; ``"in_place"`` rewrites one copy outside jit, for a ``value_fn`` that is
        not JAX. All see the same z to the bit.
      batched: Evaluate all points of the step in one pass rather than one after the other. Meant
        for :class:`zojax.LowRank`, whose points share each product with the weights; other
        directions hold every point's perturbed weight at once.
      has_aux: Whether ``value_fn`` returns a pair (loss, aux). ``True`` drops aux; its structure,
        what ``jax.eval_shape`` gives, keeps it in the state for :func:`zojax.last_aux`.

    Returns:
      A transformation to put first in a chain; it ignores the updates it is given, which may be
      ``None``. Wrappers that look at gradients, such as ``optax.MultiSteps``, go around what
      follows it in the chain. ``update`` needs ``params`` and
      ``value_fn(params) -> float []``. Its updates have the parameters' dtypes; integer leaves
      stay. With ``meter``, a :class:`zojax.trajectory.Recorder`, the slopes are recorded for a log.
      With ``query_axis``, inside of :func:`zojax.parallel.query_parallel`, the devices along that
      axis of the mesh share the points.

    Cost: 2q forward passes (q + 1 with the forward difference, q with the centred one); no memory
      beyond a forward pass when streamed and fused into the step, one copy of the parameters
      otherwise. ``batched``: one forward pass over a batch as many times as large.
    Error: bias O(eps²), zero on quadratics (one-sided differences: O(eps)); as eps → 0,
      E‖ĝ‖² → (d + 2)‖∇L‖² for one Gaussian direction, d‖∇L‖² for one of random signs; rounding in
      the slope about ulp(L) / eps. bfloat16 weights near 1 swallow an eps below 2⁻⁸.

    Raises:
      ValueError: ``eps`` is not positive, ``num_queries`` < 1, or < 2 for the centred difference,
        a name is unknown, a rule of losses is given with the forward difference, or ``update`` got
        no ``params``.
      TypeError: ``key`` is no key, ``direction`` no direction, or ``value_fn`` no scalar function.

    References:
      Spall, 1992, doi:10.1109/9.119632. Malladi et al., 2023, arXiv:2305.17333, Definition 1.
      The centred difference: arXiv:2506.09034.

    Examples:
      >>> import jax.numpy as jnp, optax, zojax
      >>> tx = optax.chain(zojax.spsa(1e-3, key=0), optax.lion(1e-2))
      >>> params = jnp.array([1.0, -2.0])
      >>> state = tx.init(params)
      >>> updates, state = tx.update(None, state, params, value_fn=lambda p: (p**2).sum())
      >>> round(float(zojax.last_loss(state)), 2)
      5.0
    """
    _check.positive("spsa", "eps", eps)
    _check.count("spsa", "num_queries", num_queries)
    _check.one_of("spsa", "difference", difference, ("central", "forward", "centred"))
    _check.one_of("spsa", "evaluation", evaluation, EVALUATIONS)
    _check.flag("spsa", "batched", batched)
    if batched and evaluation == "in_place":
        raise ValueError(
            'spsa: batched must be False with evaluation="in_place", whose points share one '
            'buffer; use evaluation="streamed".'
        )
    if difference == "centred" and num_queries == 1:
        raise ValueError(
            'spsa: num_queries must be >= 2 for difference="centred", whose reference is the mean '
            "of the queries' losses, got 1."
        )
    of_losses, of_slopes = parted("spsa", slope_rule, difference)
    return estimator(
        "spsa",
        differences(eps, difference, evaluation, batched=batched, of_losses=of_losses),
        direction_of("spsa", direction),
        key=key,
        num_queries=int(num_queries),
        slope_rule=of_slopes,
        has_aux=has_aux,
    )
