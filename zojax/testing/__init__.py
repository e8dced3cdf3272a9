"""Checks for your own optimizers, estimators and directions: the promises that zojax's parts keep.

A failed check raises :class:`BrokenPromiseError`, an AssertionError that names the promise. zojax's
own tests run these checks on all of its optimizers, estimators and directions.
"""

from zojax.testing._direction import DIRECTION_PROMISES as DIRECTION_PROMISES
from zojax.testing._direction import check_direction as check_direction
from zojax.testing._drift import check_no_drift as check_no_drift
from zojax.testing._estimator import ESTIMATOR_PROMISES as ESTIMATOR_PROMISES
from zojax.testing._estimator import check_estimator as check_estimator
from zojax.testing._in_place import check_in_place as check_in_place
from zojax.testing._optimizer import OPTIMIZER_PROMISES as OPTIMIZER_PROMISES
from zojax.testing._optimizer import MakeOptimizer as MakeOptimizer
from zojax.testing._optimizer import check_optimizer as check_optimizer
from zojax.testing._problem import loss as loss
from zojax.testing._problem import parameters as parameters
from zojax.testing._problem import step_with as step_with
from zojax.testing._promises import BrokenPromiseError as BrokenPromiseError
from zojax.testing._replay import check_replay as check_replay

__all__ = [
    "DIRECTION_PROMISES",
    "ESTIMATOR_PROMISES",
    "OPTIMIZER_PROMISES",
    "BrokenPromiseError",
    "MakeOptimizer",
    "check_direction",
    "check_estimator",
    "check_in_place",
    "check_no_drift",
    "check_optimizer",
    "check_replay",
    "loss",
    "parameters",
    "step_with",
]
