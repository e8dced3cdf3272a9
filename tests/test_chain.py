"""zojax.chain keeps the promises of the named optimizers with links of optax."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import zojax
from zojax import testing
from zojax.testing import parameters

pytestmark = pytest.mark.quick


def test_a_learning_rate_of_0_leaves_the_bits():
    testing.check_no_drift(
        lambda: zojax.chain(zojax.spsa(1e-3, key=0), optax.scale_by_learning_rate(0.0))
    )


@pytest.mark.usefixtures("standard_promotion")  # optax decays integers as floats
def test_integers_stay_whatever_a_link_says():
    params = {"w": jnp.ones((3, 2)), "steps": jnp.arange(0, 40, 10)}
    chain = zojax.chain(
        zojax.spsa(1e-3, key=0), optax.add_decayed_weights(0.5), optax.scale_by_learning_rate(1.0)
    )
    updates, _ = chain.update(
        None, chain.init(params), params, value_fn=lambda p: jnp.sum(p["w"] ** 2)
    )
    after = optax.apply_updates(params, updates)
    np.testing.assert_array_equal(after["steps"], params["steps"])
    assert not np.array_equal(after["w"], params["w"])


def test_the_first_link_must_be_an_estimator():
    tx = zojax.chain(optax.clip(1.0), zojax.spsa(1e-3, key=0))
    with pytest.raises(ValueError, match="chain: estimator must be one of zojax's"):
        tx.init(parameters())
    assert zojax.chain(zojax.select(zojax.spsa(1e-3, key=0), "matrix")).init(parameters())
