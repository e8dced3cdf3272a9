"""Evaluates a loss at θ + εz without a second copy of θ."""

from zojax.streaming._aux import HasAux as HasAux
from zojax.streaming._aux import kept_aux as kept_aux
from zojax.streaming._aux import value_and_aux as value_and_aux
from zojax.streaming._compiler import compiler_options as compiler_options
from zojax.streaming._losses import EVALUATIONS as EVALUATIONS
from zojax.streaming._losses import Loss as Loss
from zojax.streaming._losses import Noises as Noises
from zojax.streaming._losses import loss_at as loss_at
from zojax.streaming._losses import losses_at as losses_at
from zojax.streaming._losses import rounded_loss as rounded_loss
from zojax.streaming._points import map_points as map_points
from zojax.streaming._points import points_shared_over as points_shared_over
from zojax.streaming._tiles import part_of_model as part_of_model
