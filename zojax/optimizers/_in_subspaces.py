"""Published methods that tune in a subspace: an estimator, a rule, and the coordinates."""

from __future__ import annotations

from typing import Any

import jax
import optax
from optax import contrib

from zojax._types import HasAux, KeyLike, ScalarOrSchedule
from zojax.coordinates import is_stacked, slash_paths, subspace
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
    **options: Any,
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
      **options: ``matrix``, ``evaluation`` and ``in_update`` of :func:`zojax.subspace`.

    Cost: as :func:`zojax.subspace`; state: S and two r × r factors a matrix.

    Raises:
      ValueError, TypeError: as :func:`zojax.subspace` and :func:`zojax.mezo`.

    References:
      Yu et al., 2024, arXiv:2410.08989, Algorithm 2.
    """
    inner = mezo(learning_rate, eps=eps, key=key, num_queries=num_queries, has_aux=has_aux)
    return subspace(inner, rank=rank, refresh=refresh, key=key, **options)


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
    **options: Any,
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
      **options: ``matrix``, ``evaluation`` and ``in_update`` of :func:`zojax.subspace`.

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
    return subspace(inner, rank=rank, refresh=refresh, key=key, **options)


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
    **options: Any,
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
      **options: ``matrix``, ``evaluation`` and ``in_update`` of :func:`zojax.subspace`.

    Cost: as :func:`zojax.subspace`; state: m × r numbers a matrix.

    Raises:
      ValueError, TypeError: as :func:`zojax.subspace` and :func:`zojax.mezo`.

    References:
      Chen et al., 2024, arXiv:2410.07698, Algorithm 1.
    """
    inner = mezo(learning_rate, eps=eps, key=key, num_queries=num_queries, has_aux=has_aux)
    return subspace(
        inner, rank=rank, refresh=refresh, key=key, sides="right", basis="gaussian", **options
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
    **options: Any,
) -> optax.GradientTransformationExtraArgs:
    r"""LOZO-M: LOZO with an average of past estimates, of m × r numbers a matrix.

    .. math:: N \leftarrow \beta N + (1 - \beta)\,\hat G_S, \qquad
        W \leftarrow W - \eta\,\frac1{\sqrt r} N V^\top

    Where V changes the paper projects N onto the new one; here N restarts.

    Args:
      learning_rate, eps, key, rank, refresh, num_queries, has_aux: See :func:`lozo`.
      momentum: β within [0, 1).
      **options: ``matrix``, ``evaluation`` and ``in_update`` of :func:`zojax.subspace`.

    Cost: as :func:`lozo`, with m × r numbers a matrix more, twice.

    Raises:
      ValueError, TypeError: as :func:`lozo`.

    References:
      Chen et al., 2024, arXiv:2410.07698, Algorithm 2.
    """
    estimate = spsa(eps, key=key, num_queries=num_queries, has_aux=has_aux)
    average = optax.ema(momentum, debias=False)
    inner = chain(estimate, average, descend("lozo_m", learning_rate))
    return subspace(
        inner, rank=rank, refresh=refresh, key=key, sides="right", basis="gaussian", **options
    )


@speaks_for("subspace", "spsa", "chain")
def zo_muon(
    learning_rate: ScalarOrSchedule,
    *,
    eps: ScalarOrSchedule,
    key: KeyLike,
    rank: int = 64,
    refresh: int = 100,
    num_queries: int = 4,
    momentum: float = 0.95,
    batched: bool = False,
    has_aux: HasAux = False,
    in_update: bool = False,
    **options: Any,
) -> optax.GradientTransformationExtraArgs:
    """ZO-Muon: orthogonalised estimates in r × n coordinates.

    ``optax.contrib.muon`` orthogonalises the r × n estimate of each matrix, scaled so that the root
    mean square of an update is η; offsets are tuned by its Adam.

    Args:
      learning_rate: η; a float or a schedule of the step.
      eps: Perturbation scale; a float > 0 or a schedule.
      key: Typed PRNG key or int seed, of noise and bases.
      rank: r; the paper's is 64.
      refresh: F; the paper's is 100.
      num_queries: One-sided queries; the paper has 4.
      momentum: Of Muon, within [0, 1).
      batched, has_aux: See :func:`zojax.spsa`.
      in_update: See :func:`zojax.subspace`. Call :func:`zojax.fold` after each step, or give True
        and a rank of 32 at most.
      **options: ``evaluation`` of :func:`zojax.subspace`.

    Cost: as :func:`zojax.subspace`; one pass a query and one more; state: 2 × r × n numbers a
      matrix, and as many at which they restart.

    Raises:
      ValueError, TypeError: as :func:`zojax.subspace` and :func:`zojax.spsa`.

    References:
      arXiv:2602.17155. Jordan et al., 2024, Muon.
    """
    estimate = spsa(
        eps,
        key=key,
        num_queries=num_queries,
        difference="forward",
        batched=batched,
        has_aux=has_aux,
    )
    muon = contrib.muon(
        1.0, beta=momentum, consistent_rms=1.0, muon_weight_dimension_numbers=_matrix_axes
    )
    # Muon's own rate is 1: descend has the rate, and the sign.
    inner = chain(estimate, muon, optax.scale(-1.0), descend("zo_muon", learning_rate))
    return subspace(
        inner,
        rank=rank,
        refresh=refresh,
        key=key,
        sides="left",
        in_update=in_update,
        **options,
    )


def _matrix_axes(coordinates: Any) -> Any:
    """Which axes of every leaf are a matrix's; None for an offset."""

    def axes(path: str, leaf: Any) -> Any:
        stack = int(leaf.ndim > 1 and is_stacked(path.split("/")))
        return contrib.MuonDimensionNumbers(stack, stack + 1) if leaf.ndim == stack + 2 else None

    leaves, tree = jax.tree.flatten(coordinates)
    paths = slash_paths(coordinates)
    return tree.unflatten([axes(path, leaf) for path, leaf in zip(paths, leaves, strict=True)])


@speaks_for("subspace", "mezo")
def tezo(
    learning_rate: ScalarOrSchedule,
    *,
    eps: ScalarOrSchedule,
    key: KeyLike,
    rank: int = 24,
    num_queries: int = 1,
    has_aux: HasAux = False,
    **options: Any,
) -> optax.GradientTransformationExtraArgs:
    r"""TeZO: descent in r numbers a matrix, between factors that stay for the whole run.

    .. math:: W = W_0 + \frac1{\sqrt r} \sum_i s_i\,u_i v_i^\top

    Args:
      learning_rate: η; a float or a schedule of the step.
      eps: Perturbation scale; a float > 0 or a schedule.
      key: Typed PRNG key or int seed, of noise and factors.
      rank: r of every matrix; the paper finds one for each layer.
      num_queries, has_aux: See :func:`zojax.spsa`.
      **options: ``matrix`` and ``evaluation`` of :func:`zojax.subspace`.

    Cost: as :func:`zojax.subspace`; state: r numbers a matrix.

    Raises:
      ValueError, TypeError: as :func:`zojax.subspace` and :func:`zojax.mezo`.

    References:
      Sun et al., 2025, arXiv:2501.19057.
    """
    inner = mezo(learning_rate, eps=eps, key=key, num_queries=num_queries, has_aux=has_aux)
    return subspace(
        inner, rank=rank, refresh=None, key=key, sides="diagonal", basis="gaussian", **options
    )
