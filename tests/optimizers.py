"""The optimizers, estimators and directions that the contract suite runs over."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

import zojax

PHASES = (2, 6, 8)


def by_path(path, leaf):
    """A block for each leaf, for a tree without layers."""
    del leaf
    return path


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformationExtraArgs]] = {
    "spsa": lambda **options: zojax.spsa(1e-2, key=0, **options),
    "mezo": lambda **options: zojax.mezo(1e-2, eps=1e-2, key=0, **options),
    "mezo, forward": lambda **o: zojax.mezo(1e-2, eps=1e-2, key=0, difference="forward", **o),
    "mezo, 3 queries": lambda **o: zojax.mezo(1e-2, eps=1e-2, key=0, num_queries=3, **o),
    "mezo, rademacher": lambda **o: zojax.mezo(
        1e-2, eps=1e-2, key=0, direction=zojax.Rademacher(), **o
    ),
    "mezo, sphere": lambda **o: zojax.mezo(1e-2, eps=1e-2, key=0, direction=zojax.Sphere(), **o),
    "mezo, sampler": lambda **o: zojax.mezo(
        1e-2, eps=1e-2, key=0, direction=zojax.directions.Sampler(jax.random.normal), **o
    ),
    "mezo, low rank": lambda **o: zojax.mezo(1e-2, eps=1e-2, key=0, direction=zojax.LowRank(), **o),
    "mezo, batched": lambda **o: zojax.mezo(
        1e-2, eps=1e-2, key=0, num_queries=2, direction=zojax.LowRank(2), batched=True, **o
    ),
    "mezo, decay": lambda **o: zojax.mezo(1e-2, eps=1e-2, key=0, weight_decay=0.1, **o),
    "select, mezo": lambda **o: zojax.select(
        zojax.mezo(1e-2, eps=1e-2, key=0, weight_decay=0.1, **o), "matrix"
    ),
    "select, zo_adamu": lambda **o: zojax.select(
        zojax.zo_adamu(1e-2, eps=1e-2, key=0, phases=PHASES, **o), ["matrix", "nested/0"]
    ),
    "hybrid": lambda **o: zojax.hybrid(
        zojax.mezo(1e-2, eps=1e-2, key=0, **o),
        optax.sgd(1e-2, momentum=0.9),
        "matrix",
        has_aux=o.get("has_aux", False),
    ),
    "spsa, shaped": lambda **o: optax.chain(
        zojax.spsa(1e-1, key=0, direction=zojax.Shaped(optax.scale_by_adam()), **o),
        optax.scale_by_learning_rate(1e-2),
    ),
    "one_point": lambda **o: optax.chain(
        zojax.one_point(1e-1, key=1, **o), optax.scale_by_learning_rate(1e-4)
    ),
    "coordinatewise": lambda **o: optax.chain(
        zojax.coordinatewise(1e-2, **o), optax.scale_by_learning_rate(1e-2)
    ),
    "spsa, sparse": lambda **o: optax.chain(
        zojax.spsa(1e-2, key=0, num_queries=2, direction=zojax.Sparse(), **o),
        optax.scale_by_learning_rate(1e-2),
    ),
    "spsa, centred": lambda **o: optax.chain(
        zojax.spsa(1e-2, key=0, num_queries=3, difference="centred", **o),
        optax.scale_by_learning_rate(1e-2),
    ),
    "mezo, spread": lambda **o: zojax.mezo(
        3e-2, eps=1e-2, key=0, num_queries=3, slope_rule="spread", **o
    ),
    "mezo, rms": lambda **o: zojax.mezo(1e-2, eps=1e-2, key=0, slope_rule="rms", **o),
    "es": lambda **o: zojax.es(
        1e-2, eps=1e-2, key=0, population=6, **{"batched": o.get("evaluation") != "in_place", **o}
    ),
    "es_at_scale": lambda **o: zojax.optimizers.es_at_scale(
        1e-2, eps=1e-2, key=0, population=4, **o
    ),
    "zo_sgd_blockwise": lambda **o: zojax.zo_sgd_blockwise(
        1e-2, eps=1e-2, key=0, blocks=by_path, **o
    ),
    "forward_gradient_sgd": lambda **o: zojax.forward_gradient_sgd(1e-2, key=0, num_queries=2, **o),
    "zo_sgd_sign": lambda **o: zojax.zo_sgd_sign(1e-2, eps=1e-2, key=0, **o),
    "mezo, sign": lambda **o: zojax.mezo(1e-2, eps=1e-2, key=0, slope_rule="sign", **o),
    "zo_sgd_momentum": lambda **o: zojax.zo_sgd_momentum(1e-3, eps=1e-2, key=0, **o),
    "zo_sgd_conservative": lambda **o: zojax.zo_sgd_conservative(1e-2, eps=1e-2, key=0, **o),
    "zo_adam": lambda **o: zojax.zo_adam(1e-2, eps=1e-2, key=0, **o),
    "zo_adam, schedules": lambda **o: zojax.zo_adam(
        1e-2, eps=1e-2, key=0, b1=optax.linear_schedule(0.5, 0.9, 5), weight_decay=0.1, **o
    ),
    "zo_adamm": lambda **o: zojax.zo_adamm(1e-2, eps=1e-2, key=0, **o),
    "zo_adamm, box": lambda **o: zojax.zo_adamm(1e-2, eps=1e-2, key=0, lower=-4.0, upper=4.0, **o),
    "zo_adamu": lambda **o: zojax.zo_adamu(1e-2, eps=1e-2, key=0, phases=PHASES, **o),
    "zo_adamu, equation": lambda **o: zojax.zo_adamu(
        1e-2, eps=1e-2, key=0, phases=PHASES, anneal="equation", signed_momentum=False, **o
    ),
    "zo_adamu, bfloat16": lambda **o: zojax.zo_adamu(
        1e-2, eps=1e-2, key=0, phases=PHASES, centre_dtype=jnp.bfloat16, **o
    ),
    "zo_adamu, 3 queries": lambda **o: zojax.zo_adamu(
        1e-2, eps=1e-2, key=0, phases=PHASES, num_queries=3, **o
    ),
    "zo_adamu, sparse": lambda **o: zojax.zo_adamu(
        1e-2, eps=1e-2, key=0, phases=PHASES, direction=zojax.Sparse(), **o
    ),
    "subspace, mezo": lambda **o: zojax.subspace(
        zojax.mezo(1e-2, eps=1e-2, key=0, **o), rank=3, refresh=2, key=0
    ),
    "subspace, zo_adamu": lambda **o: zojax.subspace(
        zojax.zo_adamu(1e-2, eps=1e-2, key=0, phases=PHASES, **o), rank=3, refresh=2, key=0
    ),
}

# One option away from another of the list: the default set checks a few promises of them, and the
# slow one all.
VARIANTS = {
    "es_at_scale",
    "spsa",
    "mezo, low rank",
    "select, mezo",
    "spsa, shaped",
    "zo_sgd_sign",
    "zo_sgd_momentum",
    "zo_adamm",
    "mezo, 3 queries",
    "mezo, batched",
    "mezo, forward",
    "mezo, rademacher",
    "mezo, sphere",
    "mezo, sampler",
    "mezo, decay",
    "select, zo_adamu",
    "mezo, sign",
    "mezo, spread",
    "mezo, rms",
    "spsa, centred",
    "zo_adam, schedules",
    "zo_adamm, box",
    "zo_adamu, equation",
    "zo_adamu, 3 queries",
    "zo_adamu, bfloat16",
    "zo_adamu, sparse",
    "subspace, zo_adamu",
}

# One for each way in which losses become slopes, or a direction is made.
OF_EACH_KIND = (
    "mezo",
    "mezo, low rank",
    "zo_adamu",
    "zo_sgd_blockwise",
    "zo_sgd_conservative",
    "spsa, sparse",
    "forward_gradient_sgd",
    "one_point",
    "spsa, shaped",
)

# What differentiates or batches value_fn cannot leave JAX.
NEVER_IN_PLACE = {
    *("forward_gradient_sgd", "hybrid", "mezo, batched"),
    *("subspace, mezo", "subspace, zo_adamu"),
}
# Its updates are made of gradients, which no log has.
NEVER_REPLAYED = {"hybrid"}

ESTIMATORS: dict[str, Callable[[], optax.GradientTransformationExtraArgs]] = {
    "spsa": lambda: zojax.spsa(1e-2, key=0),
    "spsa, forward": lambda: zojax.spsa(1e-2, key=0, num_queries=2, difference="forward"),
    "spsa, batched": lambda: zojax.spsa(1e-2, key=0, direction=zojax.LowRank(2), batched=True),
    "spsa, sphere": lambda: zojax.spsa(1e-2, key=0, direction=zojax.Sphere()),
    "one_point": lambda: zojax.one_point(1e-1, key=1),
    # Its masks are not scaled up, so only without them is the gradient its mean.
    "spsa, sparse": lambda: zojax.spsa(1e-2, key=0, direction=zojax.Sparse(0.0)),
    "spsa, centred": lambda: zojax.spsa(1e-2, key=0, num_queries=3, difference="centred"),
    "blockwise": lambda: zojax.blockwise(1e-2, key=0, blocks=by_path),
    "forward_gradient": lambda: zojax.forward_gradient(key=0),
    "coordinatewise": lambda: zojax.coordinatewise(1e-2),
}

DIRECTIONS: dict[str, zojax.directions.SampledDirection] = {
    "gaussian": zojax.Gaussian(),
    "rademacher": zojax.Rademacher(),
    "sphere": zojax.Sphere(),
    "low rank": zojax.LowRank(),
    "low rank, 3, signs": zojax.LowRank(3, zojax.Rademacher()),
    "sampler": zojax.directions.Sampler(jax.random.normal),
}
