"""ZO-SGD-Block: descent block by block."""

import optax

from zojax import _check
from zojax._named import speaks_for
from zojax._types import Evaluation, KeyLike, ScalarOrSchedule
from zojax.directions import Direction, Gaussian
from zojax.estimators import blockwise
from zojax.optimizers._chain import chain
from zojax.optimizers._descend import descend
from zojax.selection import Blocks
from zojax.streaming import HasAux


@speaks_for("blockwise")
def zo_sgd_blockwise(
    learning_rate: ScalarOrSchedule,
    eps: ScalarOrSchedule,
    key: KeyLike,
    *,
    blocks: Blocks = "layers",
    in_turn: bool = True,
    direction: Direction = Gaussian(),  # noqa: B008 (frozen)
    evaluation: Evaluation = "streamed",
    has_aux: HasAux = False,
) -> optax.GradientTransformationExtraArgs:
    r"""ZO-SGD-Block: each block of parameters has a two-point estimate of its own.

    .. math:: \theta_b \leftarrow \theta_b - \eta\,\hat g_b \quad \text{for each block } b

    Args:
      learning_rate: η; a float or a schedule of the step.
      eps: Perturbation scale in parameter units; a float > 0 or a schedule.
      key: Typed PRNG key or int seed.
      blocks: See :func:`zojax.blockwise`.
      in_turn: Let each block see the earlier blocks' steps; False evaluates all at the same θ.
      direction, evaluation, has_aux: See :func:`zojax.blockwise`.

    Returns:
      An optimizer whose ``update`` needs ``params`` and ``value_fn``; its updates may be ``None``.

    Cost: as :func:`zojax.blockwise`, two forward passes for each block; no state beyond scalars.

    Raises:
      ValueError, TypeError: as :func:`zojax.blockwise`; ``learning_rate`` is negative.

    References:
      Zhang et al., 2024, arXiv:2402.11592, Section 6.

    Examples:
      >>> import zojax
      >>> tx = zojax.zo_sgd_blockwise(learning_rate=1e-6, eps=1e-3, key=0)
    """
    _check.non_negative("zo_sgd_blockwise", "learning_rate", learning_rate)
    _check.flag("zo_sgd_blockwise", "in_turn", in_turn)
    return chain(
        blockwise(
            eps,
            key,
            blocks=blocks,
            in_turn=learning_rate if in_turn else None,
            direction=direction,
            evaluation=evaluation,
            has_aux=has_aux,
        ),
        descend("zo_sgd_blockwise", learning_rate),
    )
