"""Operations, bytes and collectives of compiled programs."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from zojax import planning

SIZE = 256
PRODUCT = 2 * SIZE**3


def matrix(dtype=jnp.float32, sharding=None):
    return jax.ShapeDtypeStruct((SIZE, SIZE), dtype, sharding=sharding)


def test_a_product_has_its_operations():
    found = planning.cost(jax.jit(lambda a, b: a @ b).lower(matrix(), matrix()).compile())
    assert found.flops == PRODUCT
    assert found.bytes_accessed == 3 * 4 * SIZE**2
    assert found.collectives == {}


@pytest.mark.quick
def test_a_loop_counts_as_often_as_it_runs():
    def repeated(a, b):
        def outer(_, x):
            return jax.lax.fori_loop(0, 3, lambda _, y: jnp.tanh(y @ b), x) @ b

        return jax.lax.fori_loop(0, 5, outer, a)

    found = planning.cost(jax.jit(repeated).lower(matrix(), matrix()).compile())
    assert found.unknown_loops == 0
    # 5 times 3 in the inner loop and 1 after it; counters and tanh make little of it.
    assert PRODUCT * 20 <= found.flops < PRODUCT * 20 * 1.01


def test_a_loop_of_unknown_length_counts_once_and_is_reported():
    def until(a, b):
        return jax.lax.while_loop(lambda x: x.sum() < 0, lambda x: x @ b, a)

    found = planning.cost(jax.jit(until).lower(matrix(), matrix()).compile())
    assert found.unknown_loops == 1
    assert PRODUCT <= found.flops < PRODUCT * 1.1


@pytest.mark.plan
@pytest.mark.parametrize("device", ["a100-80gb", "v100-32gb"])  # Triton and cuBLAS
def test_products_left_to_a_library_are_counted(device):
    half = matrix(jnp.float16)
    compiled = planning.compile_for(device, jax.jit(lambda a, b: a @ b.T), half, half)
    assert ("__cublas" in compiled.as_text()) == (device == "v100-32gb")
    found = planning.cost(compiled)
    assert PRODUCT <= found.flops < PRODUCT * 1.01


@pytest.mark.plan
def test_collectives_in_a_loop_count_as_often_as_it_runs():
    target = planning.topology(count=4)
    mesh = Mesh(target.devices, ("model",))

    def repeated(a, b):
        # Each turn's product is summed over the devices, and has to be gathered for the next.
        return jax.lax.fori_loop(0, 7, lambda _, x: jnp.tanh(x @ b), a)

    columns = NamedSharding(mesh, PartitionSpec(None, "model"))
    rows = NamedSharding(mesh, PartitionSpec("model"))
    everywhere = NamedSharding(mesh, PartitionSpec())
    step = jax.jit(repeated, out_shardings=everywhere)
    found = planning.cost(
        planning.compile_for(target, step, matrix(sharding=columns), matrix(sharding=rows))
    )
    assert sum(each.runs for each in found.collectives.values()) >= 7
    # Every device gets at least a quarter of the product each time.
    assert sum(each.bytes for each in found.collectives.values()) >= 7 * 4 * SIZE**2 // 4
