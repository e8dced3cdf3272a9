"""Named optimizers: short chains of a direction, an estimator and a rule."""

from zojax.optimizers._adam import zo_adam as zo_adam
from zojax.optimizers._adamm import zo_adamm as zo_adamm
from zojax.optimizers._adamu import zo_adamu as zo_adamu
from zojax.optimizers._blockwise import zo_sgd_blockwise as zo_sgd_blockwise
from zojax.optimizers._chain import chain as chain
from zojax.optimizers._chain import decay as decay
from zojax.optimizers._chain import descend as descend
from zojax.optimizers._chain import speaks_for as speaks_for
from zojax.optimizers._conservative import zo_sgd_conservative as zo_sgd_conservative
from zojax.optimizers._es import es as es
from zojax.optimizers._es_at_scale import es_at_scale as es_at_scale
from zojax.optimizers._forward_gradient import forward_gradient_sgd as forward_gradient_sgd
from zojax.optimizers._lozo import lozo as lozo
from zojax.optimizers._lozo import lozo_m as lozo_m
from zojax.optimizers._mezo import mezo as mezo
from zojax.optimizers._mezo import zo_sgd as zo_sgd
from zojax.optimizers._momentum import zo_sgd_momentum as zo_sgd_momentum
from zojax.optimizers._sign import zo_sgd_sign as zo_sgd_sign
from zojax.optimizers._subzero import subzero as subzero
from zojax.optimizers._subzero import subzero_plus as subzero_plus
from zojax.optimizers._tezo import tezo as tezo
from zojax.optimizers._zo_muon import zo_muon as zo_muon
