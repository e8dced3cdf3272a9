"""How directions and slopes become an update, where optax has no such rule."""

from zojax.rules._adamu import AdamuState as AdamuState
from zojax.rules._adamu import adamu as adamu
from zojax.rules._anneal import AdamuSchedules as AdamuSchedules
from zojax.rules._anneal import Anneal as Anneal
from zojax.rules._anneal import adamu_schedules as adamu_schedules
from zojax.rules._box import keep_in_box as keep_in_box
from zojax.rules._conservative import ConservativeState as ConservativeState
from zojax.rules._conservative import conservative as conservative
from zojax.rules._on_perturbation import OnPerturbationState as OnPerturbationState
from zojax.rules._on_perturbation import on_perturbation as on_perturbation
from zojax.rules._wide import in_float32 as in_float32
