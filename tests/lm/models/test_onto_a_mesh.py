"""Models that are loaded straight onto the devices of a mesh."""

from __future__ import annotations

import json
import math
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from safetensors.numpy import load_file, save_file
from sharded import mesh_of_eight

from zojax import sharding
from zojax.lm.models import _load, _weights, load
from zojax.lm.models._config import ModelConfig

Layout = Callable[[Any], Any]


def tensor_parallel(shapes: Any) -> Any:
    return sharding.tensor_parallel(shapes, mesh_of_eight("data", "model"))


def fully_sharded(shapes: Any) -> Any:
    return sharding.fully_sharded(shapes, mesh_of_eight("data"), min_size=256)


def both(shapes: Any) -> Any:
    mesh = mesh_of_eight("fsdp", "model")
    given = sharding.tensor_parallel(shapes, mesh)
    return sharding.fully_sharded(shapes, mesh, "fsdp", min_size=256, given=given)


SIZES = dict(vocab_size=304, hidden_size=32, intermediate_size=48)


@pytest.fixture(params=["one file", "shards", "hub"])
def source(
    request: pytest.FixtureRequest,
    write_model: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """The same model in one file, in several, and in the hub's cache folder."""
    folder, _ = write_model("llama", **SIZES)
    if request.param == "one file":
        return str(folder)
    copy = tmp_path / "models--owner--llama" / "snapshots" / "0123abcd"
    shutil.copytree(folder, copy)
    weights = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    files = {name: f"model-{1 + i % 3:05}-of-00003.safetensors" for i, name in enumerate(weights)}
    for file in sorted(set(files.values())):
        names = [name for name in files if files[name] == file]
        save_file({name: weights[name] for name in names}, copy / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": files}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    if request.param == "shards":
        return str(copy)
    reference = copy.parents[1] / "refs" / "main"
    reference.parent.mkdir()
    reference.write_text(copy.name)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return "owner/llama"


@pytest.mark.parametrize("scan_layers", [True, False], ids=["stacked", "unrolled"])
@pytest.mark.parametrize("layout", [tensor_parallel, fully_sharded, both])
def test_each_tensor_goes_where_its_sharding_wants_it(
    source: str, layout: Layout, scan_layers: bool
):
    alone = load(source, scan_layers=scan_layers).params
    params = load(source, layout=layout, scan_layers=scan_layers).params
    wanted = layout(alone)
    spread = 0
    for leaf, whole, place in zip(*map(jax.tree.leaves, (params, alone, wanted)), strict=True):
        assert leaf.sharding.is_equivalent_to(place, leaf.ndim)
        np.testing.assert_array_equal(leaf, whole)
        spread += not place.is_fully_replicated
    assert spread >= 9


def test_the_dtype_changes_on_the_way(write_model: Any):
    folder, _ = write_model("llama", **SIZES)
    alone = load(folder, param_dtype="bfloat16").params
    params = load(folder, param_dtype="bfloat16", layout=tensor_parallel).params
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(params)} == {"bfloat16"}
    jax.tree.map(np.testing.assert_array_equal, params, alone)


# The largest tensor, of 16 MiB, is a twelfth of the model.
HIDDEN, LAYERS = 1024, 4
CONFIG = ModelConfig(
    {
        "model_type": "llama",
        "vocab_size": 4096,
        "hidden_size": HIDDEN,
        "intermediate_size": 4096,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 8,
        "max_position_embeddings": 64,
        "tie_word_embeddings": True,
    }
)
LARGEST = 4096 * HIDDEN * 4


def tensors(check: Callable[[], None]) -> Iterator[tuple[str, np.ndarray]]:
    """The model's weights, made when they are asked for; ``check`` is called before each."""

    def make(name: str, *shape: int) -> tuple[str, np.ndarray]:
        check()
        return name, np.full(shape, len(name), np.float32)

    yield make("model.embed_tokens.weight", 4096, HIDDEN)
    yield make("model.norm.weight", HIDDEN)
    for i in range(LAYERS):
        layer = f"model.layers.{i}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            yield make(f"{layer}.self_attn.{name}.weight", HIDDEN, HIDDEN)
        for name in ("gate_proj", "up_proj"):
            yield make(f"{layer}.mlp.{name}.weight", 4096, HIDDEN)
        yield make(f"{layer}.mlp.down_proj.weight", HIDDEN, 4096)
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield make(f"{layer}.{name}.weight", HIDDEN)
    check()


def eighths(shapes: Any) -> Any:
    return sharding.tensor_parallel(shapes, mesh_of_eight("model"))


def on_each_device(arrays: Any) -> dict[Any, int]:
    """Bytes of arrays on each device."""
    found: dict[Any, int] = dict.fromkeys(jax.devices(), 0)
    for leaf in arrays:
        shard = math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for device in leaf.sharding.device_set:
            found[device] += shard
    return found


@pytest.mark.parametrize("scan_layers", [True, False], ids=["stacked", "unrolled"])
def test_a_device_holds_its_shards_and_a_part_of_one_tensor(
    scan_layers: bool, monkeypatch: pytest.MonkeyPatch
):
    older = jax.live_arrays()  # held, so that no new array gets the id of one that is gone
    before = {id(leaf) for leaf in older}
    held: list[int] = []
    allowed: list[int] = []

    def new() -> list[Any]:
        return [leaf for leaf in jax.live_arrays() if id(leaf) not in before]

    put = _weights._put

    def watched(tensor: np.ndarray, dtype: Any, place: Any) -> jax.Array:
        part = put(tensor, dtype, place)
        held.append(max(on_each_device(new()).values()))
        return part

    monkeypatch.setattr(_weights, "_put", watched)
    model: Any = _load.assemble(
        CONFIG,
        None,  # pyright: ignore[reportArgumentType] - no text is read
        tensors(lambda: allowed.append(max(on_each_device(new()).values()))),
        source=".",
        layout=eighths,
        scan_layers=scan_layers,
    )
    leaves = jax.tree.leaves(model.params)
    [shards] = {*on_each_device(leaves).values()}
    assert max(held) <= shards + LARGEST // 8
    assert allowed[-1] == shards  # between two tensors there is nothing else
    assert shards < sum(leaf.nbytes for leaf in leaves) / 7.9


def test_a_stack_is_written_in_place():
    mesh = mesh_of_eight("model")
    place = NamedSharding(mesh, PartitionSpec(None, None, "model"))
    leaf = jax.ShapeDtypeStruct((3, 8, 1024), jnp.float32, sharding=place)
    stack = _weights._empty(leaf)
    assert stack.sharding == place
    buffers = [shard.data.unsafe_buffer_pointer() for shard in stack.addressable_shards]
    part = np.ones((8, 1024), np.float32)
    placed = _weights._put(part, jnp.float32, _weights._without_layers(place))
    assert {shard.data.shape for shard in placed.addressable_shards} == {(8, 128)}
    stack = _weights._write(stack, placed, jnp.int32(1))
    assert [x.data.unsafe_buffer_pointer() for x in stack.addressable_shards] == buffers
    np.testing.assert_array_equal(stack, np.stack([0 * part, part, 0 * part]))


def test_the_host_holds_one_tensor():
    between: list[int] = []  # bytes in the host's memory when a tensor is asked for

    def assemble(check: Callable[[], None]) -> Any:
        return _load.assemble(
            CONFIG,
            None,  # pyright: ignore[reportArgumentType] - no text is read
            tensors(check),
            source=".",
            layout=eighths,
        )

    assemble(lambda: None)  # so that nothing is traced below, which takes memory too
    tracemalloc.start()
    try:
        model = assemble(lambda: between.append(tracemalloc.get_traced_memory()[0]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # On a CPU a device keeps the host's array: those of the embedding until the end, since layers
    # are written into their stacks, and the parts of a layer until JAX is called next.
    embedding = model.params["embed_tokens"]["embedding"].nbytes
    assert max(between) < 1.1 * (embedding + LARGEST)
    assert peak < 1.1 * (embedding + 3 * LARGEST)
