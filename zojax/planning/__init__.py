"""Planning for devices that are not attached: compiles a step for them and reads what it needs.

Needs ``pip install "zojax[plan]"`` (Linux), and no accelerator::

    work = zojax.lm.models.workload("opt-13b", batch=16, length=256, dtype="bfloat16")
    print(zojax.planning.report(zojax.planning.plan(work, "zo_adamu", "a100-80gb")))

A :class:`Workload` of your own consists of shapes and a loss; :func:`compile_for` compiles any
program::

    compiled = zojax.planning.compile_for("a100-80gb", step, params, state, batch)
    zojax.planning.memory(compiled).device   # bytes
"""

from zojax.planning._chart import chart as chart
from zojax.planning._collectives import Collective as Collective
from zojax.planning._compile import compile_for as compile_for
from zojax.planning._cost import Cost as Cost
from zojax.planning._cost import cost as cost
from zojax.planning._devices import DEVICES as DEVICES
from zojax.planning._devices import TABLE as TABLE
from zojax.planning._devices import Device as Device
from zojax.planning._figures import Plan as Plan
from zojax.planning._largest import Largest as Largest
from zojax.planning._largest import largest as largest
from zojax.planning._memory import Memory as Memory
from zojax.planning._memory import memory as memory
from zojax.planning._plan import plan as plan
from zojax.planning._program import OPTIMIZERS as OPTIMIZERS
from zojax.planning._program import DoesNotFitError as DoesNotFitError
from zojax.planning._program import ProgramPlan as ProgramPlan
from zojax.planning._report import report as report
from zojax.planning._sharding import mesh as mesh
from zojax.planning._step import compile_first_order as compile_first_order
from zojax.planning._step import compile_forward as compile_forward
from zojax.planning._step import compile_step as compile_step
from zojax.planning._topology import topology as topology
from zojax.planning._workload import Workload as Workload

__all__ = [
    "DEVICES",
    "OPTIMIZERS",
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
    "chart",
    "compile_first_order",
    "compile_for",
    "compile_forward",
    "compile_step",
    "cost",
    "largest",
    "memory",
    "mesh",
    "plan",
    "report",
    "topology",
]
