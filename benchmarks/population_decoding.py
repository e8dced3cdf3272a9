"""What a population of 32 members writes to 4 prompts, beside one model that writes to 128.

The population shares each product with the weights, and holds one set of them. The last row is the
way of engines that hold whole models, as ES-at-Scale's do (arXiv:2509.24372): one member after the
other is made of the weights, writes, and is undone.

    pip install ".[demo]"
    python benchmarks/population_decoding.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import _record
import jax
import jax.numpy as jnp

import zojax
from zojax import planning
from zojax.lm import models
from zojax.lm.decoding import greedy
from zojax.streaming import Objective

MODEL, MEMBERS, PROMPTS, LENGTH, NEW = "opt-125m", 32, 4, 16, 24
EPS = 1e-3
Program = Callable[[Any], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    model = models.abstract_model(MODEL)
    leaves, tree = jax.tree.flatten(model.params)
    params = jax.tree.unflatten(
        tree,
        [0.02 * jax.random.normal(jax.random.key(i), x.shape) for i, x in enumerate(leaves)],
    )
    vocabulary = model.config.vocab_size
    ids = jax.random.randint(jax.random.key(0), (MEMBERS * PROMPTS, LENGTH), 4, vocabulary)

    def write(params: Any, ids: jax.Array) -> jax.Array:
        """Write all tokens: no token of random weights ends a text."""
        return greedy(
            model, params, ids, jnp.ones_like(ids), max_new_tokens=NEW, stop_tokens=[vocabulary]
        )

    def value(params: Any) -> jax.Array:
        return jnp.mean(write(params, ids[:PROMPTS]).astype(jnp.float32))

    def population(params: Any) -> jax.Array:
        objective = Objective("benchmark", value, params)
        loss = objective.at("streamed")
        pairs = MEMBERS // 2
        draws, _ = zojax.LowRank().at_step((), jax.random.key(0), jnp.int32(0), pairs, params)
        points, scales = draws.repeated(2), jnp.tile(jnp.array([EPS, -EPS]), pairs)
        return objective.losses_at(
            lambda i: loss(points.query(i), scales[i]), MEMBERS, "streamed", batched=True
        )[0]

    functions: dict[str, Program] = {
        f"one model, {MEMBERS * PROMPTS} prompts": lambda p: write(p, ids),
        f"{MEMBERS} members of rank 1, {PROMPTS} prompts each, together": population,
    }
    compiled: dict[str, Program] = {
        name: jax.jit(function, compiler_options=zojax.compiler_options()).lower(params).compile()
        for name, function in functions.items()
    }
    memory = {name: planning.memory(program) for name, program in compiled.items()}
    needed = {name: found.argument + found.temp for name, found in memory.items()}
    for program in compiled.values():
        jax.block_until_ready(program(params))
    loop, loops_memory = perturb_and_restore(write, ids[:PROMPTS], params)
    jax.block_until_ready(loop(params, 1))
    restoring = f"{MEMBERS} members, each made of the weights, written with and undone"
    compiled[restoring], needed[restoring] = loop, loops_memory
    times: dict[str, list[float]] = {name: [] for name in compiled}
    # All take turns, so that what else the machine does meets each alike.
    for _ in range(rounds):
        for name, program in compiled.items():
            start = time.perf_counter()
            jax.block_until_ready(program(params))
            times[name].append(time.perf_counter() - start)
    plain = next(iter(compiled))
    rows = [
        {
            "what": name,
            "seconds": round(statistics.median(times[name]), 2),
            "÷ one model": round(_ratio(times[name], times[plain]), 3),
            "memory, MB": round(needed[name] / 1e6),
            "of it ÷ one model": round(needed[name] / needed[plain], 3),
        }
        for name in compiled
    ]
    path = _record.write(
        "population_decoding",
        f"Decoding for a population on CPU: {MODEL}, float32, {LENGTH} tokens a prompt, "
        f"{NEW} written",
        rows,
        f"Medians of {rounds} rounds, all within one process, by turns; the ratios are "
        "medians of those within a round. Memory is of arguments and temporaries, read from the "
        "compiled programs. Random weights and prompts, whose texts do not end early. In the last "
        "row a member's whole Gaussian perturbation is added in the weights' own memory, and "
        "drawn again to be subtracted.",
    )
    print(f"written: {path}")


def perturb_and_restore(
    write: Callable[[Any, jax.Array], jax.Array], ids: jax.Array, params: Any
) -> tuple[Callable[..., Any], int]:
    """A loop over members as an engine with a whole model runs it, and the memory that it needs."""

    def move(params: Any, member: jax.Array, scale: jax.Array) -> Any:
        leaves, tree = jax.tree.flatten(params)
        key = jax.random.fold_in(jax.random.key(0), member)
        moved = [
            leaf + scale * jax.random.normal(jax.random.fold_in(key, i), leaf.shape, leaf.dtype)
            for i, leaf in enumerate(leaves)
        ]
        return jax.tree.unflatten(tree, moved)

    options = zojax.compiler_options()
    moving = jax.jit(move, donate_argnums=0, compiler_options=options)
    writing = jax.jit(write, compiler_options=options)
    found = planning.memory(writing.lower(params, ids).compile())

    def run(params: Any, members: int = MEMBERS) -> list[jax.Array]:
        texts: list[jax.Array] = []
        # A copy, for the caller's is kept; every other one is made in its memory.
        own = jax.tree.map(jnp.copy, params)
        for member in range(members):
            own = moving(own, jnp.int32(member), jnp.float32(EPS))
            texts.append(writing(own, ids))
            own = moving(own, jnp.int32(member), jnp.float32(-EPS))
        return texts

    return run, found.argument + found.temp


def _ratio(times: list[float], others: list[float]) -> float:
    """The median of the ratios within a round: what slows a round slows both."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


if __name__ == "__main__":
    main()
