"""How losses become a gradient."""

from zojax.estimators._blockwise import BlockwiseState as BlockwiseState
from zojax.estimators._blockwise import blockwise as blockwise
from zojax.estimators._coordinatewise import CoordinatewiseState as CoordinatewiseState
from zojax.estimators._coordinatewise import coordinatewise as coordinatewise
from zojax.estimators._forward_gradient import ForwardEvaluation as ForwardEvaluation
from zojax.estimators._forward_gradient import ForwardGradientState as ForwardGradientState
from zojax.estimators._forward_gradient import forward_gradient as forward_gradient
from zojax.estimators._hybrid import HybridState as HybridState
from zojax.estimators._hybrid import hybrid as hybrid
from zojax.estimators._one_point import OnePointState as OnePointState
from zojax.estimators._one_point import one_point as one_point
from zojax.estimators._progress import advanced as advanced
from zojax.estimators._progress import begun as begun
from zojax.estimators._progress import no_loss_yet as no_loss_yet
from zojax.estimators._slopes import measure_slopes as measure_slopes
from zojax.estimators._sparse import SparseState as SparseState
from zojax.estimators._sparse import sparse_spsa as sparse_spsa
from zojax.estimators._spsa import SpsaState as SpsaState
from zojax.estimators._spsa import spsa as spsa
