"""How a gradient becomes an update, where optax has no such rule."""

from zojax.rules._box import keep_in_box as keep_in_box
from zojax.rules._compensated import CompensatedState as CompensatedState
from zojax.rules._compensated import compensated as compensated
from zojax.rules._conservative import ConservativeState as ConservativeState
from zojax.rules._conservative import conservative as conservative
from zojax.rules._stochastic_rounding import StochasticRoundingState as StochasticRoundingState
from zojax.rules._stochastic_rounding import stochastic_rounding as stochastic_rounding
from zojax.rules._wide import in_float32 as in_float32
