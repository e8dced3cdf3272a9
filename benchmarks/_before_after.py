"""One side of ``before_after.py``: a process that imports one tree's zojax and answers requests.

A request is a line of JSON on the standard input, ``[name, arguments...]``; so is its answer.
It uses only what both trees understand.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import optax

import zojax
from zojax import planning

RATES: dict[str, Any] = {"eps": 1e-3, "key": 0}
OPTIMIZERS = {
    "mezo": lambda: zojax.mezo(1e-6, **RATES),
    "mezo, random signs": lambda: zojax.mezo(1e-6, **RATES, direction=zojax.Rademacher()),
    "mezo, 4 queries": lambda: zojax.mezo(1e-6, **RATES, num_queries=4),
    "mezo, 4 queries of rank 1, batched": lambda: zojax.mezo(
        1e-6, **RATES, num_queries=4, direction=zojax.LowRank(), batched=True
    ),
    "zo_adamu": lambda: zojax.zo_adamu(1e-4, **RATES),
    "zo_adam": lambda: zojax.zo_adam(1e-6, **RATES),
    "zo_sgd_conservative": lambda: zojax.zo_sgd_conservative(1e-6, **RATES),
    "zo_sgd_blockwise": lambda: zojax.zo_sgd_blockwise(1e-6, **RATES),
}


class Side:
    """The requests."""

    def __init__(self) -> None:
        self.now: Any = None  # the program last loaded, parameters, state and tokens

    def optimizers(self) -> list[str]:
        """Name what can be measured."""
        return list(OPTIMIZERS)

    def memory(self, device: str, optimizer: str, work: dict[str, Any]) -> int:
        """Return the bytes that a step needs on a device."""
        program = planning.compile_step(device, workload(**work), OPTIMIZERS[optimizer]())
        return planning.memory(program).device

    def compile(self, optimizer: str, work: dict[str, Any]) -> float:
        """Return the CPU seconds of tracing and compiling a step for this machine."""
        return self._compiled(optimizer, work)[1]

    def load(self, optimizer: str, work: dict[str, Any]) -> float:
        """As :meth:`compile`, and take the step once."""
        self.now = None
        shapes = workload(**work)
        program, seconds = self._compiled(optimizer, work)
        params = jax.tree.map(lambda x: jnp.full(x.shape, 0.01, x.dtype), shapes.params)
        tokens = jnp.ones((work["batch"], work["length"]), jnp.int32)
        self.now = program, params, OPTIMIZERS[optimizer]().init(params), tokens
        self.step()
        return seconds

    def loaded(self) -> int:
        """Return the bytes that the step last loaded needs."""
        return planning.memory(self.now[0]).device

    def step(self) -> float:
        """Return the CPU seconds of one step of the program last loaded."""
        program, params, state, tokens = self.now
        begun = time.process_time()
        params, state = jax.block_until_ready(program(params, state, tokens))
        seconds = time.process_time() - begun
        self.now = program, params, state, tokens
        return seconds

    def _compiled(self, optimizer: str, work: dict[str, Any]) -> tuple[Any, float]:
        shapes, tx = workload(**work), OPTIMIZERS[optimizer]()
        jax.clear_caches()
        begun = time.process_time()
        program = planning.compile_step("cpu", shapes, tx)
        return program, time.process_time() - begun


SIZES = {
    "opt-125m": {},  # the defaults of OPTConfig
    "opt-1.3b": {"hidden_size": 2048, "ffn_dim": 8192, "num_attention_heads": 32},
}


def workload(
    model: str, batch: int, length: int, layers: int, dtype: str = "float32"
) -> planning.Workload:
    """Return shapes and loss of transformers' Flax class, so that both trees step one model.

    The trees' own models differ, and a comparison of the two would be one of the models.
    """
    from transformers import OPTConfig
    from transformers.models.opt.modeling_flax_opt import FlaxOPTForCausalLM

    # By name, or the path of a config.json.
    config = OPTConfig(**SIZES[model]) if model in SIZES else OPTConfig.from_json_file(model)
    config.num_hidden_layers = layers
    network: Any = FlaxOPTForCausalLM(config, dtype=jnp.dtype(dtype), _do_init=False)
    shapes = jax.eval_shape(lambda: network.init_weights(jax.random.key(0), (1, 8)))
    params = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), shapes)

    def loss(params: Any, tokens: jax.Array) -> jax.Array:
        logits = network(tokens, params=params).logits[:, :-1].astype(jnp.float32)
        return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()

    return planning.Workload(params, jax.ShapeDtypeStruct((batch, length), jnp.int32), loss)


def main() -> None:
    side = Side()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(getattr(side, name)(*arguments)), flush=True)


if __name__ == "__main__":
    main()
