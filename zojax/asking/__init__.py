"""Losses that come from outside: points to evaluate are asked for, and their losses told."""

from zojax.asking._adapter import Adapter as Adapter
from zojax.asking._adapter import Factors as Factors
from zojax.asking._ask_tell import AskTell as AskTell
from zojax.asking._ask_tell import ask_tell as ask_tell
from zojax.asking._losses import Losses as Losses
from zojax.asking._point import Point as Point
from zojax.asking._point import PointData as PointData
from zojax.asking._programs import StepLog as StepLog

__all__ = ["Adapter", "AskTell", "Factors", "Losses", "Point", "PointData", "StepLog", "ask_tell"]
