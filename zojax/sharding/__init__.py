"""Layouts: how a model's parameters are sharded over devices.

A layout is a tree of ``jax.sharding.NamedSharding`` with the structure of the parameters::

    mesh = jax.sharding.Mesh(jax.devices(), ("model",))
    layout = zojax.sharding.tensor_parallel(model.params, mesh)
    params = zojax.sharding.shard(model.params, layout)
    state = jax.jit(tx.init)(params)  # sharded like the parameters

In a step on sharded parameters, each device draws only the noise of its own shards, whose bits do
not depend on the layout. Nothing is communicated besides what the forward passes communicate.
"""

from zojax.sharding._axes import AXES as AXES
from zojax.sharding._axes import LayoutName as LayoutName
from zojax.sharding._axes import check_axes as check_axes
from zojax.sharding._axes import make_mesh as make_mesh
from zojax.sharding._axes import over_axes as over_axes
from zojax.sharding._axes import read_mesh as read_mesh
from zojax.sharding._axes import rows_over as rows_over
from zojax.sharding._layouts import Layout as Layout
from zojax.sharding._layouts import by_pattern as by_pattern
from zojax.sharding._layouts import fully_sharded as fully_sharded
from zojax.sharding._layouts import tensor_parallel as tensor_parallel
from zojax.sharding._shard import bytes_on_each as bytes_on_each
from zojax.sharding._shard import shard as shard
from zojax.sharding._shard import state_layout as state_layout
from zojax.sharding._table import TENSOR_PARALLEL as TENSOR_PARALLEL

__all__ = [
    "AXES",
    "TENSOR_PARALLEL",
    "Layout",
    "LayoutName",
    "by_pattern",
    "bytes_on_each",
    "check_axes",
    "fully_sharded",
    "make_mesh",
    "over_axes",
    "read_mesh",
    "rows_over",
    "shard",
    "state_layout",
    "tensor_parallel",
]
