"""Evaluates a loss at θ + εz without a second copy of θ."""

from zojax.streaming._compiler import compiler_options as compiler_options
from zojax.streaming._compiler import options_for as options_for
from zojax.streaming._copies import Loss as Loss
from zojax.streaming._copies import copied as copied
from zojax.streaming._dequantizing import dequantizing as dequantizing
from zojax.streaming._losses import EVALUATIONS as EVALUATIONS
from zojax.streaming._losses import Objective as Objective
from zojax.streaming._losses import rounded_loss as rounded_loss
from zojax.streaming._losses import streamed as streamed
from zojax.streaming._moved import Moved as Moved
from zojax.streaming._moved import arrived as arrived
from zojax.streaming._moved import at_point as at_point
