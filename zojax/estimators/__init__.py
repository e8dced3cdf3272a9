"""How losses become a gradient."""

from zojax.estimators._blockwise import blockwise as blockwise
from zojax.estimators._coordinatewise import coordinatewise as coordinatewise
from zojax.estimators._estimator import EstimatorState as EstimatorState
from zojax.estimators._estimator import estimator as estimator
from zojax.estimators._estimator import estimator_states as estimator_states
from zojax.estimators._estimator import no_loss_yet as no_loss_yet
from zojax.estimators._forward_gradient import ForwardEvaluation as ForwardEvaluation
from zojax.estimators._forward_gradient import forward_gradient as forward_gradient
from zojax.estimators._hybrid import HybridState as HybridState
from zojax.estimators._hybrid import hybrid as hybrid
from zojax.estimators._last import last_aux as last_aux
from zojax.estimators._last import last_loss as last_loss
from zojax.estimators._one_point import one_point as one_point
from zojax.estimators._slopes import differences as differences
from zojax.estimators._slopes import guarded_slopes as guarded_slopes
from zojax.estimators._slopes import slopes_along as slopes_along
from zojax.estimators._spsa import spsa as spsa
