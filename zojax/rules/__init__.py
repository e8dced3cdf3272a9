"""How directions and slopes become an update, where optax has no such rule."""

from zojax.rules._adamu import AdamuState as AdamuState
from zojax.rules._adamu import adamu as adamu
from zojax.rules._anneal import AdamuSchedules as AdamuSchedules
from zojax.rules._anneal import Anneal as Anneal
from zojax.rules._anneal import adamu_schedules as adamu_schedules
