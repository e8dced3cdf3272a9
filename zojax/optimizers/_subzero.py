"""SubZero and SubZero+: descent, and Adam, in r × r orthonormal coordinates."""

from __future__ import annotations

import optax

from zojax._types import HasAux, InSubspace, KeyLike, ScalarOrSchedule
from zojax.coordinates import MatrixOf, subspace
from zojax.estimators import spsa
from zojax.optimizers._chain import chain, descend, speaks_for
from zojax.optimizers._mezo import mezo


@speaks_for("subspace", "mezo")
def subzero(
    learning_rate: ScalarOrSchedule,
    *,
    eps: ScalarOrSchedule,
    key: KeyLike,
    rank: int = 24,
    refresh: int = 1000,
    num_queries: int = 1,
    has_aux: HasAux = False,
    matrix: MatrixOf | None = None,
    evaluation: InSubspace = "streamed",
    in_update: bool = True,
) -> optax.GradientTransformationExtraArgs:
    r"""SubZero: descent in r × r orthonormal coordinates, which change every F steps.

    .. math:: W \leftarrow W - \eta\,c\,U\,\hat G_S V^\top

    The paper's perturbation U Z Vᵀ has no c: a rate here is the paper's times (c r)²/(mn), and ε
    its ε times c.

    Args:
      learning_rate: η; a float or a schedule of the step.
      eps: Perturbation scale; a float > 0 or a schedule.
      key: Typed PRNG key or int seed, of noise and bases.
      rank: r; the paper's is 24 to 128.
      refresh: F; the paper's is 1,000.
      num_queries, has_aux: See :func:`zojax.spsa`.
      matrix, evaluation, in_update: See :func:`zojax.subspace`.

    Cost: as :func:`zojax.subspace`; state: S and two r × r factors a matrix.

    Raises:
      ValueError, TypeError: as :func:`zojax.subspace` and :func:`zojax.mezo`.

    References:
      Yu et al., 2024, arXiv:2410.08989, Algorithm 2.
    """
    inner = mezo(learning_rate, eps=eps, key=key, num_queries=num_queries, has_aux=has_aux)
    return subspace(
        inner,
        rank=rank,
        refresh=refresh,
        key=key,
        matrix=matrix,
        evaluation=evaluation,
        in_update=in_update,
    )


@speaks_for("subspace", "spsa", "chain")
def subzero_plus(
    learning_rate: ScalarOrSchedule,
    *,
    eps: ScalarOrSchedule,
    key: KeyLike,
    rank: int = 16,
    refresh: int = 50,
    num_queries: int = 50,
    batched: bool = False,
    has_aux: HasAux = False,
    matrix: MatrixOf | None = None,
    evaluation: InSubspace = "streamed",
    in_update: bool = True,
) -> optax.GradientTransformationExtraArgs:
    """SubZero+: Adam in r × r coordinates, on many one-sided queries centred by their mean.

    The paper's U S Vᵀ has no c: a rate here is the paper's times r/√(mn).

    Args:
      learning_rate: η; a float or a schedule of the step.
      eps: Perturbation scale; a float > 0 or a schedule.
      key: Typed PRNG key or int seed, of noise and bases.
      rank: r; the paper's is 16 for models of 1B and 128 from 8B.
      refresh: F; the paper's is 50 to 100.
      num_queries: K ≥ 2; the paper's is about 50.
      batched, has_aux: See :func:`zojax.spsa`.
      matrix, evaluation, in_update: See :func:`zojax.subspace`.

    Cost: as :func:`zojax.subspace`; K forward passes; state: three r × r arrays a matrix, twice,
      and two factors.

    Raises:
      ValueError, TypeError: as :func:`zojax.subspace` and :func:`zojax.spsa`.

    References:
      arXiv:2608.15665.
    """
    estimate = spsa(
        eps,
        key=key,
        num_queries=num_queries,
        difference="centred",
        batched=batched,
        has_aux=has_aux,
    )
    adam = optax.scale_by_adam(b1=0.9, b2=0.95)
    inner = chain(estimate, adam, descend("subzero_plus", learning_rate))
    return subspace(
        inner,
        rank=rank,
        refresh=refresh,
        key=key,
        matrix=matrix,
        evaluation=evaluation,
        in_update=in_update,
    )
