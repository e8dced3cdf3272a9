"""What scales the slopes of a step before they become a gradient.

A slope rule is an optax transformation of the float32 [q] array of a step's slopes, given to an
estimator or a named optimizer as ``slope_rule``. It sits between the losses and the draw of the
update. It sees 0 for a slope that is not usable, and gets which are as ``usable``, bool [q], if it
takes that argument; what it gives there is dropped. A step without a usable slope leaves its state
as it was. It is a function of the logged slopes, so a log replays it. optax's own ``clip``,
``scale_by_rms``, ``trace`` and ``ema`` work in its place.

:func:`ranks` and :func:`z_scores` compare all losses of a step, and an estimator gives them the
losses themselves: see :class:`LossRule`. The log has the slopes that they make.

With a rule that divides slopes by their own size, the learning rate has one unit whatever the loss:
an update's root mean square is about η/√q.
"""

from zojax.slope_rules._clip import clip as clip
from zojax.slope_rules._named import SlopeRuleLike as SlopeRuleLike
from zojax.slope_rules._named import SlopeRuleName as SlopeRuleName
from zojax.slope_rules._named import check_rule_of_slopes as check_rule_of_slopes
from zojax.slope_rules._named import slope_rule_of as slope_rule_of
from zojax.slope_rules._of_losses import LossRule as LossRule
from zojax.slope_rules._ranks import ranks as ranks
from zojax.slope_rules._rms import RmsState as RmsState
from zojax.slope_rules._rms import rms as rms
from zojax.slope_rules._sign import sign as sign
from zojax.slope_rules._spread import SpreadState as SpreadState
from zojax.slope_rules._spread import spread as spread
from zojax.slope_rules._z_scores import z_scores as z_scores

__all__ = [
    "LossRule",
    "RmsState",
    "SpreadState",
    "clip",
    "ranks",
    "rms",
    "sign",
    "spread",
    "z_scores",
]
