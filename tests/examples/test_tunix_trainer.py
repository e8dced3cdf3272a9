"""The trainer for google-tunix, against the same steps without it."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import zojax

# Its models promote dtypes and ranks, and its packages warn of each other.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("standard_promotion"),
]
if find_spec("tunix") is None:
    pytest.skip("needs google-tunix: pip install google-tunix", allow_module_level=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import orbax.checkpoint as ocp
    import qwix
    import tunix_trainer as example
    from flax import nnx
    from tunix.sft import peft_trainer


@pytest.fixture(autouse=True)
def lenient_ranks():
    with jax.numpy_rank_promotion("allow"):
        yield


def optimizer(learning_rate: float = 1e-2) -> Any:
    return zojax.mezo(learning_rate, eps=1e-3, key=0)


def train(model: Any, steps: int, tx: Any = None, **settings: Any) -> example.ForwardTrainer:
    config = peft_trainer.TrainingConfig(
        eval_every_n_steps=10_000, max_steps=steps, pbar_description=None, **settings
    )
    trainer = example.ForwardTrainer(model, optimizer() if tx is None else tx, config)
    trainer.with_gen_model_input_fn(example.model_inputs).train(example.batches(steps))
    return trainer


def with_lora() -> nnx.Module:
    model = example.tiny_qwen3()
    provider = qwix.LoraProvider(module_path=".*q_proj|.*v_proj", rank=2, alpha=2.0)
    return qwix.apply_lora_to_model(model, provider, rngs=nnx.Rngs(0), **model.get_model_input())


def arrays(model: nnx.Module, kind: Any) -> dict[Any, np.ndarray]:
    state = nnx.to_pure_dict(nnx.state(model, kind))
    leaves = jax.tree.leaves_with_path(state)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def test_its_steps_are_those_of_a_plain_loop():
    trained = train(example.tiny_qwen3(), 3)
    model = example.tiny_qwen3()
    graph, params, others = nnx.split(model, nnx.Param, ...)
    params = nnx.as_pure(params)
    tx, inputs = optimizer(), example.model_inputs(example.batches(1)[0])
    state = tx.init(params)

    @jax.jit
    def step(params, state):
        def value_fn(params):
            return peft_trainer._default_loss_fn(nnx.merge(graph, params, others), **inputs)

        updates, state = tx.update(None, state, params, value_fn=value_fn)
        return optax.apply_updates(params, updates), state

    for _ in range(3):
        params, state = step(params, state)
    nnx.update(model, params)
    expected, found = arrays(model, nnx.Param), arrays(trained.model, nnx.Param)
    assert expected.keys() == found.keys()
    for name, leaf in expected.items():
        np.testing.assert_allclose(found[name], leaf, rtol=1e-5, atol=1e-6, err_msg=name)
    assert trained.train_steps == 3
    loss = zojax.last_loss(trained.optimizer.opt_state)[...]
    assert float(loss) == pytest.approx(float(zojax.last_loss(state)), rel=1e-5)


def test_the_loss_goes_down():
    tx = zojax.zo_adam(1e-2, eps=1e-3, key=0, num_queries=4)
    trainer = train(example.tiny_qwen3(), 100, tx)
    first = jnp.log(64)  # of a model that knows nothing
    assert zojax.last_loss(trainer.optimizer.opt_state)[...] < 0.7 * first


def test_with_lora_nothing_else_moves():
    before = arrays(with_lora(), nnx.Param)
    trainer = train(with_lora(), 2, optimizer(1e-1))
    after, adapter = arrays(trainer.model, nnx.Param), arrays(trainer.model, nnx.LoRAParam)
    moved = {name for name, leaf in before.items() if not np.array_equal(leaf, after[name])}
    assert moved == {*adapter}
    assert 0 < len(adapter) < len(before)


def test_a_checkpoint_goes_on_with_the_next_step(tmp_path):
    options = dict(
        checkpoint_root_directory=str(tmp_path),
        checkpointing_options=ocp.CheckpointManagerOptions(save_interval_steps=1),
    )
    train(with_lora(), 2, **options)
    again = train(with_lora(), 2, **options)  # at its end already
    assert again.train_steps == 2
    assert int(again.optimizer.opt_state[0].count[...]) == 2


def test_what_a_step_cannot_do_is_refused():
    with pytest.raises(ValueError, match=r"^ForwardTrainer: gradient_accumulation_steps must"):
        train(example.tiny_qwen3(), 1, gradient_accumulation_steps=2)
    trainer = train(example.tiny_qwen3(), 1)
    with pytest.raises(ValueError, match=r"^ForwardTrainer: has_aux must be False"):
        trainer.with_loss_fn(lambda model: (0.0, None), has_aux=True)
