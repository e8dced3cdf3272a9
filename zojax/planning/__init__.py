"""Plan for a device that is not there: compile a program for it and read its memory.

Needs ``pip install "zojax[plan]"`` (Linux), and no accelerator::

    compiled = zojax.planning.compile_for("a100-80gb", step, params, state, batch)
    zojax.planning.memory(compiled).device   # bytes
"""

from zojax.planning._compile import compile_for as compile_for
from zojax.planning._memory import Memory as Memory
from zojax.planning._memory import memory as memory
from zojax.planning._step import compile_forward as compile_forward
from zojax.planning._step import compile_step as compile_step
from zojax.planning._targets import DEVICES as DEVICES
from zojax.planning._topology import topology as topology
from zojax.planning._workload import MODELS as MODELS
from zojax.planning._workload import Workload as Workload
from zojax.planning._workload import workload as workload

__all__ = [
    "DEVICES",
    "MODELS",
    "Memory",
    "Workload",
    "compile_for",
    "compile_forward",
    "compile_step",
    "memory",
    "topology",
    "workload",
]
