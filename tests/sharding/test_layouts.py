"""Where parameters are cut."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from sharded import mesh_of_eight

from zojax import sharding
from zojax.lm import models

TREE = {"up": {"kernel": jax.ShapeDtypeStruct((16, 64), jnp.float32)}, "bias": jnp.ones(64)}


def specs_of(layout):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf.spec
        for path, leaf in jax.tree_util.tree_leaves_with_path(layout)
    }


BY_OUTPUTS, BY_INPUTS = P(None, "model"), P("model")
ATTENTION = {
    **{f"self_attn/{name}_proj/kernel": BY_OUTPUTS for name in "qkv"},
    "self_attn/o_proj/kernel": BY_INPUTS,
}
MLP = {"mlp/up_proj/kernel": BY_OUTPUTS, "mlp/down_proj/kernel": BY_INPUTS}
BIASES = {
    path.replace("kernel", "bias"): P("model")
    for path, spec in (ATTENTION | MLP).items()
    if spec == BY_OUTPUTS
}
LAYER = {
    "opt-125m": ATTENTION | MLP | BIASES,
    "roberta-base": ATTENTION | MLP | BIASES,
    "llama-2-7b": ATTENTION | MLP | {"mlp/gate_proj/kernel": BY_OUTPUTS},
}
LAYER["mistral-7b"] = LAYER["llama-2-7b"]
ENDS = {
    "opt-125m": {"embed_tokens/embedding": P("model")},
    "roberta-base": {},  # 50,265 tokens: 8 divides their number not, so all are on each device
    "llama-2-7b": {"embed_tokens/embedding": P("model"), "lm_head/kernel": P(None, "model")},
}
ENDS["mistral-7b"] = ENDS["llama-2-7b"]


@pytest.mark.parametrize("scanned", [True, False], ids=["stacked", "unrolled"])
@pytest.mark.parametrize("model", LAYER)
def test_tensor_parallelism_cuts_the_matrices_of_a_family(model, scanned):
    work = models.workload(model, batch=1, length=8, layers=2, scan_layers=scanned)
    found = specs_of(sharding.tensor_parallel(work.params, mesh_of_eight("model")))
    if scanned:
        layers = {f"layers/{path}": P(None, *spec) for path, spec in LAYER[model].items()}
    else:
        layers = {f"layers_{i}/{path}": x for i in (0, 1) for path, x in LAYER[model].items()}
    assert {path: spec for path, spec in found.items() if spec != P()} == layers | ENDS[model]


CUT_OF_TRANSFORMERS = {
    "opt": {
        "model/decoder/embed_tokens/embedding": (320, 16),
        "model/decoder/layers/0/fc1/bias": (32,),
        "model/decoder/layers/0/fc1/kernel": (16, 32),
        "model/decoder/layers/0/fc2/kernel": (32, 16),
        "model/decoder/layers/0/self_attn/k_proj/kernel": (16, 16),
        "model/decoder/layers/0/self_attn/out_proj/kernel": (16, 16),
    },
    "roberta": {
        "roberta/encoder/layer/0/attention/output/dense/kernel": (16, 16),
        "roberta/encoder/layer/0/attention/self/query/bias": (16,),
        "roberta/encoder/layer/0/attention/self/query/kernel": (16, 16),
        "roberta/encoder/layer/0/intermediate/dense/kernel": (16, 32),
        "roberta/encoder/layer/0/output/dense/kernel": (32, 16),
    },
}


@pytest.mark.parametrize("family", CUT_OF_TRANSFORMERS)
def test_tensor_parallelism_cuts_the_matrices_of_transformers(family):
    leaves = {
        path: jax.ShapeDtypeStruct(shape, jnp.float32)
        for path, shape in CUT_OF_TRANSFORMERS[family].items()
    }
    found = sharding.tensor_parallel(leaves, mesh_of_eight("model"))
    # The only dimension of a bias is that of the outputs.
    by_inputs = ("embedding", "fc2/kernel", "out_proj/kernel", "output/dense/kernel", "bias")
    for path, leaf in found.items():
        assert leaf.spec == (BY_INPUTS if path.endswith(by_inputs) else BY_OUTPUTS), path


def test_the_layers_of_a_stack_stay_together():
    mesh = mesh_of_eight("data")
    leaf = jax.ShapeDtypeStruct((64, 16, 24), jnp.float32)
    params = {"layers": {"up": leaf, "0": leaf}, "adapter": {"layers": {"up": leaf}}, "up": leaf}
    found = specs_of(sharding.fully_sharded(params, mesh, min_size=16 * 24))
    assert found == {
        "layers/up": P(None, None, "data"),
        "layers/0": P("data"),
        "adapter/layers/up": P(None, None, "data"),
        "up": P("data"),
    }
    # A layer, not the stack, is what is gathered at once.
    found = specs_of(sharding.fully_sharded(params, mesh, min_size=16 * 24 + 1))
    assert found["layers/up"] == P()
    assert found["up"] == P("data")
    odd = {"layers": {"up": jax.ShapeDtypeStruct((64, 15, 9), jnp.float32)}}
    with pytest.raises(ValueError, match=r"layers/up has the shape \(64, 15, 9\)"):
        sharding.fully_sharded(odd, mesh, min_size=1)


def test_an_adapter_stays_whole():
    kernel = {"fc1": {"kernel": jnp.ones((16, 64))}}
    params = {"model": {"layers": {"0": kernel}}, "adapter": {"layers": {"0": kernel}}}
    found = specs_of(sharding.tensor_parallel(params, mesh_of_eight("model")))
    assert found == {
        "model/layers/0/fc1/kernel": P(None, "model"),
        "adapter/layers/0/fc1/kernel": P(),
    }


def test_a_line_of_ones_own_goes_first():
    mesh = mesh_of_eight("model")
    params = {"layer": {"fc1": {"kernel": jnp.ones((16, 60))}, "fc2": {"kernel": jnp.ones((8, 9))}}}
    with pytest.raises(ValueError, match="size 8 must divide dimension 1 of layer/fc1/kernel"):
        sharding.tensor_parallel(params, mesh)
    table = [("*/fc1/*", 0), *sharding.TENSOR_PARALLEL]
    found = specs_of(sharding.tensor_parallel(params, mesh, table=table))
    assert found == {"layer/fc1/kernel": P("model"), "layer/fc2/kernel": P("model")}
    table = [("*/fc1/*", None), *sharding.TENSOR_PARALLEL]
    assert specs_of(sharding.tensor_parallel(params, mesh, table=table))["layer/fc1/kernel"] == P()


@pytest.mark.quick
def test_tensor_parallelism_refuses():
    mesh = mesh_of_eight("model")
    with pytest.raises(ValueError, match="table must shard at least one parameter"):
        sharding.tensor_parallel(TREE, mesh)
    with pytest.raises(ValueError, match="axis must be one of the mesh's, model, got 'data'"):
        sharding.tensor_parallel(TREE, mesh, "data")
    with pytest.raises(ValueError, match=r"bias must have dimension 1 .*, got the shape \(64,\)"):
        sharding.tensor_parallel(TREE, mesh, table=[("bias", 1)])
    with pytest.raises(ValueError, match=r"bias must have dimension -2 .*, got the shape \(64,\)"):
        sharding.tensor_parallel(TREE, mesh, table=[("bias", -2)])


def test_the_first_of_several_dimensions_that_divides():
    mesh = mesh_of_eight("model")

    def spec(line):
        table = [("up/kernel", line)]
        params = {"up": {"kernel": jax.ShapeDtypeStruct((12, 64), jnp.float32)}}
        return specs_of(sharding.tensor_parallel(params, mesh, table=table))["up/kernel"]

    assert spec((-2, -1)) == P(None, "model")
    assert spec((-2, None)) == P()
    with pytest.raises(ValueError, match="size 8 must divide dimension 0 of up/kernel"):
        spec((None, -2)[1:])


@pytest.mark.quick
def test_full_sharding_cuts_the_largest_dimension_that_divides():
    mesh = mesh_of_eight("data")
    params = {
        "a": jnp.ones((16, 64)),
        "b": jnp.ones((64, 16)),
        "odd": jnp.ones((63, 16)),
        "vector": jnp.ones(24),
        "scalar": jnp.ones(()),
    }
    found = specs_of(sharding.fully_sharded(params, mesh, min_size=8))
    assert found == {
        "a": P(None, "data"),
        "b": P("data"),
        "odd": P(None, "data"),
        "vector": P("data"),
        "scalar": P(),
    }
    found = specs_of(sharding.fully_sharded(params, mesh, min_size=1008))
    assert [path for path, spec in found.items() if spec == P()] == ["scalar", "vector"]
    with pytest.raises(ValueError, match=r"lone has the shape \(9, 7\). Take an axis"):
        sharding.fully_sharded({"lone": jnp.ones((9, 7))}, mesh, min_size=63)
    assert specs_of(sharding.fully_sharded({"lone": jnp.ones((9, 7))}, mesh, min_size=64)) == {
        "lone": P()
    }


def test_full_sharding_goes_on_where_another_layout_ends():
    mesh = mesh_of_eight("fsdp", "model")
    params = {
        "layer": {"fc1": {"kernel": jnp.ones((16, 64))}, "fc2": {"kernel": jnp.ones((64, 9))}}
    }
    given = sharding.tensor_parallel(params, mesh)
    found = sharding.fully_sharded(params, mesh, "fsdp", min_size=1000, given=given)
    assert specs_of(found) == {
        "layer/fc1/kernel": P("fsdp", "model"),
        "layer/fc2/kernel": P("model"),
    }
    with pytest.raises(ValueError, match=r"fc2/kernel has the shape \(64, 9\), sharded by"):
        sharding.fully_sharded(params, mesh, "fsdp", min_size=1, given=given)
    both = sharding.fully_sharded(params, mesh, ("fsdp", "model"), min_size=1)
    assert specs_of(both)["layer/fc1/kernel"] == P(None, ("fsdp", "model"))


def test_a_layout_of_ones_own():
    mesh = mesh_of_eight("data", "model")
    found = specs_of(sharding.by_pattern(TREE, mesh, [("up/*", P("data", "model"))]))
    assert found == {"up/kernel": P("data", "model"), "bias": P()}
    # The first line that fits counts.
    table = [("*", P("model")), ("bias", P("data"))]
    assert specs_of(sharding.by_pattern(TREE, mesh, table))["bias"] == P("model")
    with pytest.raises(ValueError, match="no parameter matches 'down'"):
        sharding.by_pattern(TREE, mesh, [("down", P("data"))])
    with pytest.raises(ValueError, match="must be one of the mesh's, data, model, got 'x'"):
        sharding.by_pattern(TREE, mesh, [("bias", P("x"))])
    with pytest.raises(ValueError, match="bias must have at least 2 dimensions"):
        sharding.by_pattern(TREE, mesh, [("bias", P(None, "data"))])
    with pytest.raises(ValueError, match="of size 8 must divide dimension 0 of odd"):
        sharding.by_pattern({"odd": jnp.ones(12)}, mesh, [("odd", P(("data", "model")))])


def test_parameters_are_put_where_the_layout_says():
    mesh = mesh_of_eight("model")
    params = {"w": np.arange(64.0, dtype=np.float32).reshape(4, 16)}
    layout = sharding.by_pattern(params, mesh, [("w", P(None, "model"))])
    placed = sharding.shard(params, layout)
    np.testing.assert_array_equal(placed["w"], params["w"])
    assert placed["w"].sharding == layout["w"]
    assert {shard.data.shape for shard in placed["w"].addressable_shards} == {(4, 2)}
    assert sharding.bytes_on_each(params, layout) == 4 * 2 * 4
    with pytest.raises(ValueError, match="layout must have the structure of params"):
        sharding.shard({"v": params["w"]}, layout)


@pytest.mark.quick
def test_state_lies_as_its_parameters_do():
    mesh = mesh_of_eight("model")
    layout = {"a": {"w": NamedSharding(mesh, P("model"))}, "w": NamedSharding(mesh, P())}
    params = {"a": {"w": jnp.ones(8)}, "w": jnp.ones(8)}
    state = {"mu": params, "other": {"w": jnp.ones(16)}, "count": jnp.zeros(())}
    found = specs_of(sharding.state_layout(state, params, layout))
    assert found == {"count": P(), "mu/a/w": P("model"), "mu/w": P(), "other/w": P()}
