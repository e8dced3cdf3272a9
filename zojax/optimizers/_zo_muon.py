"""ZO-Muon: orthogonalised estimates in r × n coordinates."""

from __future__ import annotations

from typing import Any

import jax
import optax
from optax import contrib

from zojax import _check
from zojax._types import HasAux, InSubspace, KeyLike, ScalarOrSchedule
from zojax.coordinates import stacked, subspace
from zojax.estimators import spsa
from zojax.optimizers._chain import chain, descend, speaks_for


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
    evaluation: InSubspace = "streamed",
    in_update: bool = False,
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
      evaluation, in_update: See :func:`zojax.subspace`. Call :func:`zojax.fold` after each step, or
        give True and a rank of 32 at most.

    Cost: as :func:`zojax.subspace`; one pass a query and one more; state: 2 × r × n numbers a
      matrix, and as many at which they restart.

    Raises:
      ValueError, TypeError: as :func:`zojax.subspace` and :func:`zojax.spsa`.

    References:
      arXiv:2602.17155. Jordan et al., 2024, Muon.
    """
    _check.fraction("zo_muon", "momentum", momentum)
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
        evaluation=evaluation,
        in_update=in_update,
    )


def _matrix_axes(coordinates: Any) -> Any:
    """Which axes of every leaf are a matrix's; None for an offset."""

    def axes(leaf: Any, in_stack: bool) -> Any:
        stack = int(in_stack)
        return contrib.MuonDimensionNumbers(stack, stack + 1) if leaf.ndim == stack + 2 else None

    leaves, tree = jax.tree.flatten(coordinates)
    return tree.unflatten(map(axes, leaves, stacked(coordinates)))
