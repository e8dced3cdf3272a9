"""Layouts: how a model's parameters are sharded over devices.

A layout is a tree of ``jax.sharding.NamedSharding`` with the structure of the parameters::

    mesh = jax.sharding.Mesh(jax.devices(), ("model",))
    layout = zojax.sharding.tensor_parallel(model.params, mesh)
    params = zojax.sharding.shard(model.params, layout)
    state = jax.jit(tx.init)(params)  # sharded like the parameters

In a step on sharded parameters, each device draws only the noise of its own shards, whose bits do
not depend on the layout. Nothing is communicated besides what the forward passes communicate.
"""

from zojax.sharding._layouts import Layout as Layout
from zojax.sharding._layouts import by_pattern as by_pattern
from zojax.sharding._layouts import fully_sharded as fully_sharded
from zojax.sharding._layouts import tensor_parallel as tensor_parallel
from zojax.sharding._shard import bytes_on_each as bytes_on_each
from zojax.sharding._shard import shard as shard
from zojax.sharding._shard import state_layout as state_layout
from zojax.sharding._table import TENSOR_PARALLEL as TENSOR_PARALLEL

__all__ = [
    "TENSOR_PARALLEL",
    "Layout",
    "by_pattern",
    "bytes_on_each",
    "fully_sharded",
    "shard",
    "state_layout",
    "tensor_parallel",
]
