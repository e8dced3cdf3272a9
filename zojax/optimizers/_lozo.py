"""LOZO and LOZO-M: descent along products with one factor that is kept for some steps."""

from __future__ import annotations

import optax

from zojax import _check
from zojax._types import HasAux, InSubspace, KeyLike, ScalarOrSchedule
from zojax.coordinates import MatrixOf, subspace
from zojax.estimators import spsa
from zojax.optimizers._chain import chain, descend, speaks_for
from zojax.optimizers._mezo import mezo


@speaks_for("subspace", "mezo")
def lozo(
    learning_rate: ScalarOrSchedule,
    *,
    eps: ScalarOrSchedule,
    key: KeyLike,
    rank: int = 2,
    refresh: int = 50,
    num_queries: int = 1,
    has_aux: HasAux = False,
    matrix: MatrixOf | None = None,
    evaluation: InSubspace = "streamed",
    in_update: bool = True,
) -> optax.GradientTransformationExtraArgs:
    r"""LOZO: descent along products Z Vᵀ/√r, with a new Z of m × r each step and V kept for F.

    .. math:: W \leftarrow W - \eta\,\frac1{\sqrt r}\,\hat G_S V^\top

    The paper's perturbation Z Vᵀ has no 1/√r, and its estimate is divided by r: a rate here is the
    paper's, and ε its ε times √r.

    Args:
      learning_rate: η; a float or a schedule of the step.
      eps: Perturbation scale; a float > 0 or a schedule.
      key: Typed PRNG key or int seed, of noise and bases.
      rank: r; the paper's is 2 to 8.
      refresh: F, the paper's ν of 50 or 100.
      num_queries, has_aux: See :func:`zojax.spsa`.
      matrix, evaluation, in_update: See :func:`zojax.subspace`.

    Cost: as :func:`zojax.subspace`; state: m × r numbers a matrix.

    Raises:
      ValueError, TypeError: as :func:`zojax.subspace` and :func:`zojax.mezo`.

    References:
      Chen et al., 2024, arXiv:2410.07698, Algorithm 1.
    """
    inner = mezo(learning_rate, eps=eps, key=key, num_queries=num_queries, has_aux=has_aux)
    return subspace(
        inner,
        rank=rank,
        refresh=refresh,
        key=key,
        sides="right",
        basis="gaussian",
        matrix=matrix,
        evaluation=evaluation,
        in_update=in_update,
    )


@speaks_for("subspace", "spsa", "chain")
def lozo_m(
    learning_rate: ScalarOrSchedule,
    *,
    eps: ScalarOrSchedule,
    key: KeyLike,
    rank: int = 2,
    refresh: int = 50,
    momentum: float = 0.9,
    num_queries: int = 1,
    has_aux: HasAux = False,
    matrix: MatrixOf | None = None,
    evaluation: InSubspace = "streamed",
    in_update: bool = True,
) -> optax.GradientTransformationExtraArgs:
    r"""LOZO-M: LOZO with an average of past estimates, of m × r numbers a matrix.

    .. math:: N \leftarrow \beta N + (1 - \beta)\,\hat G_S, \qquad
        W \leftarrow W - \eta\,\frac1{\sqrt r} N V^\top

    Where V changes the paper projects N onto the new one; here N restarts.

    Args:
      learning_rate, eps, key, rank, refresh, num_queries, has_aux: See :func:`lozo`.
      momentum: β within [0, 1).
      matrix, evaluation, in_update: See :func:`zojax.subspace`.

    Cost: as :func:`lozo`, with m × r numbers a matrix more, twice.

    Raises:
      ValueError, TypeError: as :func:`lozo`.

    References:
      Chen et al., 2024, arXiv:2410.07698, Algorithm 2.
    """
    _check.fraction("lozo_m", "momentum", momentum)
    estimate = spsa(eps, key=key, num_queries=num_queries, has_aux=has_aux)
    average = optax.ema(momentum, debias=False)
    inner = chain(estimate, average, descend("lozo_m", learning_rate))
    return subspace(
        inner,
        rank=rank,
        refresh=refresh,
        key=key,
        sides="right",
        basis="gaussian",
        matrix=matrix,
        evaluation=evaluation,
        in_update=in_update,
    )
