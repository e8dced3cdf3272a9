"""TeZO: descent in r numbers a matrix, between factors that stay."""

from __future__ import annotations

import optax

from zojax._types import HasAux, InSubspace, KeyLike, ScalarOrSchedule
from zojax.coordinates import MatrixOf, subspace
from zojax.optimizers._chain import speaks_for
from zojax.optimizers._mezo import mezo


@speaks_for("subspace", "mezo")
def tezo(
    learning_rate: ScalarOrSchedule,
    *,
    eps: ScalarOrSchedule,
    key: KeyLike,
    rank: int = 24,
    num_queries: int = 1,
    has_aux: HasAux = False,
    matrix: MatrixOf | None = None,
    evaluation: InSubspace = "streamed",
) -> optax.GradientTransformationExtraArgs:
    r"""TeZO: descent in r numbers a matrix, between factors that stay for the whole run.

    .. math:: W = W_0 + \frac1{\sqrt r} \sum_i s_i\,u_i v_i^\top

    Args:
      learning_rate: η; a float or a schedule of the step.
      eps: Perturbation scale; a float > 0 or a schedule.
      key: Typed PRNG key or int seed, of noise and factors.
      rank: r of every matrix; the paper finds one for each layer.
      num_queries, has_aux: See :func:`zojax.spsa`.
      matrix, evaluation: See :func:`zojax.subspace`.

    Cost: as :func:`zojax.subspace`; state: r numbers a matrix.

    Raises:
      ValueError, TypeError: as :func:`zojax.subspace` and :func:`zojax.mezo`.

    References:
      Sun et al., 2025, arXiv:2501.19057.
    """
    inner = mezo(learning_rate, eps=eps, key=key, num_queries=num_queries, has_aux=has_aux)
    return subspace(
        inner,
        rank=rank,
        refresh=None,
        key=key,
        sides="diagonal",
        basis="gaussian",
        matrix=matrix,
        evaluation=evaluation,
    )
