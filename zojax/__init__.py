"""Zeroth-order fine-tuning for JAX: optimizers that need forward passes alone."""

from importlib.metadata import version as _version
from typing import TYPE_CHECKING

from zojax import _lazy

if TYPE_CHECKING:
    from zojax import optimizers as optimizers
    from zojax import quantized as quantized
    from zojax import slope_rules as slope_rules
    from zojax._types import ValueFn as ValueFn
    from zojax.asking import ask_tell as ask_tell
    from zojax.coordinates import fold as fold
    from zojax.coordinates import folded as folded
    from zojax.coordinates import select as select
    from zojax.coordinates import subspace as subspace
    from zojax.directions import Direction as Direction
    from zojax.directions import ElementwiseDirection as ElementwiseDirection
    from zojax.directions import Gaussian as Gaussian
    from zojax.directions import LowRank as LowRank
    from zojax.directions import MomentumCentred as MomentumCentred
    from zojax.directions import Rademacher as Rademacher
    from zojax.directions import Shaped as Shaped
    from zojax.directions import Sparse as Sparse
    from zojax.directions import Sphere as Sphere
    from zojax.estimators import blockwise as blockwise
    from zojax.estimators import coordinatewise as coordinatewise
    from zojax.estimators import forward_gradient as forward_gradient
    from zojax.estimators import hybrid as hybrid
    from zojax.estimators import last_aux as last_aux
    from zojax.estimators import last_loss as last_loss
    from zojax.estimators import one_point as one_point
    from zojax.estimators import spsa as spsa
    from zojax.optimizers import chain as chain
    from zojax.optimizers import es as es
    from zojax.optimizers import forward_gradient_sgd as forward_gradient_sgd
    from zojax.optimizers import mezo as mezo
    from zojax.optimizers import zo_adam as zo_adam
    from zojax.optimizers import zo_adamm as zo_adamm
    from zojax.optimizers import zo_adamu as zo_adamu
    from zojax.optimizers import zo_sgd as zo_sgd
    from zojax.optimizers import zo_sgd_blockwise as zo_sgd_blockwise
    from zojax.optimizers import zo_sgd_conservative as zo_sgd_conservative
    from zojax.optimizers import zo_sgd_momentum as zo_sgd_momentum
    from zojax.optimizers import zo_sgd_sign as zo_sgd_sign
    from zojax.rates import find_rate as find_rate
    from zojax.rules import compensated as compensated
    from zojax.rules import conservative as conservative
    from zojax.rules import stochastic_rounding as stochastic_rounding
    from zojax.streaming import compiler_options as compiler_options

# Everything is imported when it is first used, so that `zojax --help` need not wait for jax. The
# names of the core, by the folder that has them, are those that are imported above for type
# checkers.
_NAMES = {
    "_types": ("ValueFn",),
    "asking": ("ask_tell",),
    "coordinates": ("fold", "folded", "select", "subspace"),
    "directions": (
        "Direction",
        "ElementwiseDirection",
        "Gaussian",
        "LowRank",
        "MomentumCentred",
        "Rademacher",
        "Shaped",
        "Sparse",
        "Sphere",
    ),
    "estimators": (
        "blockwise",
        "coordinatewise",
        "forward_gradient",
        "hybrid",
        "last_aux",
        "last_loss",
        "one_point",
        "spsa",
    ),
    "optimizers": (
        "chain",
        "es",
        "forward_gradient_sgd",
        "mezo",
        "zo_adam",
        "zo_adamm",
        "zo_adamu",
        "zo_sgd",
        "zo_sgd_blockwise",
        "zo_sgd_conservative",
        "zo_sgd_momentum",
        "zo_sgd_sign",
    ),
    "rates": ("find_rate",),
    "rules": (
        "compensated",
        "conservative",
        "stochastic_rounding",
    ),
    "streaming": ("compiler_options",),
}
__getattr__, __dir__ = _lazy.submodules(
    __name__,
    (
        "asking",
        "coordinates",
        "directions",
        "estimators",
        "flax",
        "gallery",
        "lm",
        "optimizers",
        "parallel",
        "passes",
        "planning",
        "quantized",
        "rates",
        "rules",
        "sharding",
        "slope_rules",
        "streaming",
        "testing",
        "trajectory",
        "workers",
    ),
    {name: folder for folder, names in _NAMES.items() for name in names},
)
__version__ = _version("zojax")
del TYPE_CHECKING  # dir(zojax) has zojax's own names
