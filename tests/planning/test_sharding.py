"""Where parameters are cut."""

import jax
import jax.numpy as jnp
import optax
import pytest
from jax.sharding import PartitionSpec as P

from zojax import planning
from zojax.planning import _sharding, _step


@pytest.mark.parametrize(
    ("path", "shape", "spec"),
    [
        ("/model/decoder/layers/0/self_attn/q_proj/kernel", (64, 64), P(None, "model")),
        ("/model/decoder/layers/0/fc1/kernel", (64, 256), P(None, "model")),
        ("/model/decoder/layers/0/fc1/bias", (256,), P()),
        ("/model/decoder/layers/0/self_attn/out_proj/kernel", (64, 64), P("model")),
        ("/model/decoder/layers/0/fc2/kernel", (256, 64), P("model")),
        ("/model/decoder/embed_tokens/embedding", (50272, 64), P("model")),
        # RoBERTa's vocabulary is odd.
        ("/roberta/embeddings/word_embeddings/embedding", (50265, 64), P(None, "model")),
        ("/roberta/encoder/layer/0/attention/self/query/kernel", (64, 64), P(None, "model")),
        ("/roberta/encoder/layer/0/attention/output/dense/kernel", (64, 64), P("model")),
        ("/roberta/encoder/layer/0/intermediate/dense/kernel", (64, 256), P(None, "model")),
        ("/model/layers/0/mlp/down_proj/kernel", (256, 64), P("model")),
        ("/model/layers/0/mlp/gate_proj/kernel", (64, 256), P(None, "model")),
        ("/lm_head/kernel", (64, 32000), P(None, "model")),
        ("/anything/else", (3, 7), P()),
    ],
)
def test_matrices_are_cut_by_their_part_in_the_model(path, shape, spec):
    assert planning.partition_spec(path, shape, 4) == spec


@pytest.mark.usefixtures("plugin")
def test_every_device_holds_its_share_of_parameters_and_moments(config):
    target = planning.topology(count=4)
    work = planning.workload(config, batch=2, length=16)
    params, state = _step.abstract_state(target, work, optax.adam(1e-3))
    mine = _sharding.bytes_on_each(params)
    vectors = sum(4 * leaf.size for leaf in jax.tree.leaves(params) if leaf.ndim < 2)
    positions = 4 * 130 * 64  # cut along the hidden size
    assert mine == (work.nbytes - vectors) // 4 + vectors
    assert positions // 4 < mine
    assert _sharding.bytes_on_each(state) == 2 * mine + 4  # moments, and the count of steps
    moment = state[0].mu["model"]["decoder"]["layers"]["0"]["fc2"]["kernel"]
    assert moment.sharding.spec == P("model")


@pytest.mark.usefixtures("plugin", "standard_promotion")
def test_a_sharded_step_works_in_place(config):
    target = planning.topology(count=4)
    work = planning.workload(config, batch=2, length=16, dtype=jnp.float32, layers=1)
    compiled = planning.compile_first_order(target, work, optax.adam(1e-3))
    params, state = _step.abstract_state(target, work, optax.adam(1e-3))
    found = planning.memory(compiled)
    assert found.alias >= _sharding.bytes_on_each(params) + _sharding.bytes_on_each(state) - 4
    assert planning.cost(compiled).collectives
