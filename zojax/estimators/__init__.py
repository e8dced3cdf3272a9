"""How losses become a gradient."""

from zojax.estimators._spsa import SpsaState as SpsaState
from zojax.estimators._spsa import spsa as spsa
