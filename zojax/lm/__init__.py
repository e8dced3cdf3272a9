"""The language-model application: models, tasks, adapters, training, comparison.

It is built on the optimizers and uses nothing private of them. Each is
imported when it is first used: ``import zojax`` is enough for ``zojax.lm.models``.
"""

from zojax._lazy import submodules

__getattr__, __dir__ = submodules(
    __name__,
    ("adapters", "baselines", "comparison", "decoding", "models", "processes", "tasks", "training"),
)
