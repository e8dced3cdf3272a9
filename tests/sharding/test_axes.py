"""Meshes whose axes say what is sharded over them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from sharded import mesh_of_eight

from zojax import sharding

pytestmark = pytest.mark.quick


def test_a_mesh_is_read_in_the_order_of_its_axes():
    assert [*sharding.read_mesh("plan", "model=4,data=2").items()] == [("model", 4), ("data", 2)]


def test_a_layout_says_what_the_axis_of_the_batch_does():
    both = "data=2,model=4"
    assert sharding.read_mesh("plan", both, "tensor-parallel") == {"data": 2, "model": 4}
    axes = sharding.read_mesh("plan", both, "fully-sharded")
    assert [*axes.items()] == [("fsdp", 2), ("model", 4)]


@pytest.mark.parametrize(
    ("text", "layout", "message"),
    [
        ("data", None, "must name each axis once, with its size, .* got 'data'"),
        ("data=2,data=4", None, "must name each axis once"),
        ("data=-1", None, "must name each axis once"),
        ("", None, "must name each axis once"),
        ("model=0", None, "the size of axis model must be >= 1, got 0"),
        ("rows=2", None, "must have axes of data, fsdp, model, got 'rows'"),
        ("data=2", "rows", "must be one of tensor-parallel, fully-sharded, got 'rows'"),
        ("data=2", "tensor-parallel", "with the axis model and without fsdp, got data=2"),
        ("model=2", "fully-sharded", "with the axis data and without fsdp, got model=2"),
        ("data=2,fsdp=2", "fully-sharded", "without fsdp, got data=2,fsdp=2"),
        ("fsdp=2,model=2", "tensor-parallel", "without fsdp"),
    ],
)
def test_what_is_no_mesh_is_refused(text: str, layout, message: str):
    with pytest.raises(ValueError, match=f"^plan: .*{message}"):
        sharding.read_mesh("plan", text, layout)


def test_a_mesh_has_the_first_devices():
    mesh = sharding.make_mesh("finetune", {"data": 2, "model": 2})
    assert mesh.axis_names == ("data", "model")
    assert [*mesh.devices.flat] == jax.devices()[:4]
    assert set(mesh.axis_types) == {AxisType.Auto}
    with pytest.raises(ValueError, match=r"8 of cpu, got data=16, which are 16.*count=16 divides"):
        sharding.make_mesh("finetune", {"data": 16})


def test_parameters_are_sharded_by_the_names_of_the_axes():
    params = {"x": {"fc1": {"kernel": jax.ShapeDtypeStruct((512, 256), jnp.float32)}}}

    def spec(*names: str) -> P:
        [leaf] = jax.tree.leaves(sharding.over_axes(params, mesh_of_eight(*names)))
        return leaf.spec

    assert spec("data") == P()
    assert spec("model") == P(None, "model")
    assert spec("fsdp") == P("fsdp")
    assert spec("data", "model") == P(None, "model")
    assert spec("fsdp", "model") == P("fsdp", "model")
    with pytest.raises(ValueError, match=r"over_axes: mesh must have axes of .* got 'x'"):
        spec("x")
    assert sharding.rows_over(mesh_of_eight("model", "fsdp")) == ("fsdp",)
    assert sharding.rows_over(mesh_of_eight("model")) == ()
