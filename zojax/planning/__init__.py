"""Plan for a device that is not there: compile a step for it and read what it needs.

Needs ``pip install "zojax[plan]"`` (Linux), and no accelerator::

    print(zojax.planning.plan("opt-13b", "zo_adamu", "a100-80gb", batch=16, length=256))

or for a program of your own::

    compiled = zojax.planning.compile_for("a100-80gb", step, params, state, batch)
    zojax.planning.memory(compiled).device   # bytes
"""

from zojax.planning._collectives import Collective as Collective
from zojax.planning._compile import compile_for as compile_for
from zojax.planning._cost import Cost as Cost
from zojax.planning._cost import cost as cost
from zojax.planning._devices import DEVICES as DEVICES
from zojax.planning._devices import TABLE as TABLE
from zojax.planning._devices import Device as Device
from zojax.planning._largest import Largest as Largest
from zojax.planning._largest import largest as largest
from zojax.planning._memory import Memory as Memory
from zojax.planning._memory import memory as memory
from zojax.planning._models import MODELS as MODELS
from zojax.planning._models import OPT_MODELS as OPT_MODELS
from zojax.planning._plan import Plan as Plan
from zojax.planning._plan import plan as plan
from zojax.planning._program import OPTIMIZERS as OPTIMIZERS
from zojax.planning._program import DoesNotFitError as DoesNotFitError
from zojax.planning._program import ProgramPlan as ProgramPlan
from zojax.planning._sharding import mesh as mesh
from zojax.planning._step import compile_first_order as compile_first_order
from zojax.planning._step import compile_forward as compile_forward
from zojax.planning._step import compile_step as compile_step
from zojax.planning._topology import topology as topology
from zojax.planning._workload import Workload as Workload
from zojax.planning._workload import workload as workload

__all__ = [
    "DEVICES",
    "MODELS",
    "OPTIMIZERS",
    "OPT_MODELS",
    "TABLE",
    "Collective",
    "Cost",
    "Device",
    "DoesNotFitError",
    "Largest",
    "Memory",
    "Plan",
    "ProgramPlan",
    "Workload",
    "compile_first_order",
    "compile_for",
    "compile_forward",
    "compile_step",
    "cost",
    "largest",
    "memory",
    "mesh",
    "plan",
    "topology",
    "workload",
]
