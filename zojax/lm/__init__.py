"""The language-model application: models, tasks, adapters, training, prediction, comparison.

It is built on the optimizers and uses nothing private of them. Each is
imported when it is first used: ``import zojax`` is enough for ``zojax.lm.models``.
"""

from typing import TYPE_CHECKING

from zojax._lazy import submodules

if TYPE_CHECKING:
    from zojax.lm.prediction import load_run as load_run
    from zojax.lm.rewards import reward_objective as reward_objective

__getattr__, __dir__ = submodules(
    __name__,
    (
        "adapters",
        "baselines",
        "comparison",
        "decoding",
        "engines",
        "models",
        "prediction",
        "processes",
        "rewards",
        "sequences",
        "settings",
        "tasks",
        "training",
    ),
    {"load_run": "prediction", "reward_objective": "rewards"},
)
