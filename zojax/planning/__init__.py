"""Plan for a device that is not there: compile a program for it and read its memory.

Needs ``pip install "zojax[plan]"`` (Linux), and no accelerator::

    compiled = zojax.planning.compile_for("a100-80gb", step, params, state, batch)
    zojax.planning.memory(compiled).device   # bytes
"""

from zojax.planning._compile import compile_for as compile_for
from zojax.planning._memory import Memory as Memory
from zojax.planning._memory import memory as memory
from zojax.planning._targets import DEVICES as DEVICES
from zojax.planning._topology import topology as topology

__all__ = ["DEVICES", "Memory", "compile_for", "memory", "topology"]
