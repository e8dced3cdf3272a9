"""Jobs of several processes: launching and joining them, and distributing a run over them."""

from zojax.lm.processes._join import Agreed as Agreed
from zojax.lm.processes._join import abandon as abandon
from zojax.lm.processes._join import join as join
from zojax.lm.processes._launch import launch as launch
from zojax.lm.processes._spread import Spread as Spread

__all__ = ["join", "launch"]
