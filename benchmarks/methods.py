"""Every method of zojax: forward passes, state and memory of a step, all of them measured.

Forward passes are counted while a step runs, on a tree with OPT-125M's paths and one number for
each matrix. The memory is read from OPT-125M's step, compiled for an A100 without one.

    pip install ".[demo,plan]"
    python benchmarks/methods.py

``--only`` measures some methods again and keeps the other rows of the file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

# Nothing runs on an accelerator here, and a machine may have none.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import _record
import jax
import jax.numpy as jnp
import optax

import zojax
from zojax import optimizers, planning
from zojax.lm import models

DEVICE, MODEL, BATCH, LENGTH = "a100-80gb", "opt-125m", 4, 64
NAME = "methods"
TITLE = "Every method: what a step takes, and when to use it"


class Method(NamedTuple):
    """One line of the table."""

    make: Callable[[], optax.GradientTransformationExtraArgs]
    source: str
    when: str  # to use it


def arxiv(number: str) -> str:
    return f"[arXiv:{number}](https://arxiv.org/abs/{number})"


def descent(estimator: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    return optax.chain(estimator, optax.scale_by_learning_rate(1e-6))


SPALL = "[doi:10.1109/9.119632](https://doi.org/10.1109/9.119632)"
MEZO, BENCH, ADAMU = arxiv("2305.17333"), arxiv("2402.11592"), arxiv("2312.15184")
LOW_RANK = zojax.LowRank()

# Numbers such as learning rates do not change what is measured.
METHODS = {
    "mezo": Method(
        lambda: zojax.mezo(1e-6, eps=1e-3, key=0),
        MEZO,
        "Start here: whole models, nothing to store.",
    ),
    "zo_adamu": Method(
        lambda: zojax.zo_adamu(1e-4, eps=1e-3, key=0),
        ADAMU,
        "There is room for one buffer: its direction remembers, and it takes larger steps.",
    ),
    "mezo, num_queries=4": Method(
        lambda: zojax.mezo(1e-6, eps=1e-3, key=0, num_queries=4),
        MEZO,
        "The estimate is too noisy for the learning rate you want.",
    ),
    'mezo, difference="forward", num_queries=4': Method(
        lambda: zojax.mezo(1e-6, eps=1e-3, key=0, num_queries=4, difference="forward"),
        BENCH,
        "Many queries: all share one loss, for a bias that central differences do not have.",
    ),
    "mezo, LowRank()": Method(
        lambda: zojax.mezo(1e-6, eps=1e-3, key=0, direction=LOW_RANK),
        arxiv("2410.07698"),
        "bfloat16, or noise that costs too much time: no z is formed for a matrix.",
    ),
    "mezo, LowRank(), num_queries=4, batched": Method(
        lambda: zojax.mezo(1e-6, eps=1e-3, key=0, num_queries=4, direction=LOW_RANK, batched=True),
        arxiv("2511.16652"),
        "Small batches leave the device idle: all points of a step are one larger forward pass.",
    ),
    "zo_sgd_momentum": Method(
        lambda: zojax.zo_sgd_momentum(1e-6, eps=1e-3, key=0),
        arxiv("2008.08170"),
        "There is room for one buffer, and averaging over steps helps more than queries.",
    ),
    "zo_sgd_sign": Method(
        lambda: zojax.zo_sgd_sign(1e-6, eps=1e-3, key=0),
        BENCH,
        "Slopes differ by orders of magnitude from step to step: every step has one size.",
    ),
    "zo_sgd_conservative": Method(
        lambda: zojax.zo_sgd_conservative(1e-6, eps=1e-3, key=0),
        BENCH,
        "Runs that diverge: no step is taken that makes its batch's loss worse.",
    ),
    "zo_sgd_blockwise": Method(
        lambda: zojax.zo_sgd_blockwise(1e-6, eps=1e-3, key=0),
        BENCH,
        "Few, costly steps: an estimate of its own for each layer has far less noise.",
    ),
    "zo_adam": Method(
        lambda: zojax.zo_adam(1e-4, eps=1e-3, key=0),
        BENCH,
        "Gradients of very different sizes across parameters, and room for two buffers.",
    ),
    "zo_adamm": Method(
        lambda: zojax.zo_adamm(1e-4, eps=1e-3, key=0),
        arxiv("1910.06513"),
        "Parameters with bounds, as in black-box attacks.",
    ),
    "forward_gradient_sgd": Method(
        lambda: zojax.forward_gradient_sgd(1e-6, key=0),
        arxiv("2202.08587"),
        "The loss can be differentiated, and eps is a nuisance: the slope is exact.",
    ),
    "hybrid, 6 of 12 layers": Method(
        lambda: zojax.hybrid(zojax.mezo(1e-6, eps=1e-3, key=0), optax.sgd(1e-3), 6),
        BENCH,
        "Memory for back-propagation through some layers but not through all.",
    ),
    "chain(spsa, optax.lion)": Method(
        lambda: optax.chain(zojax.spsa(1e-3, key=0), optax.lion(1e-6)),
        SPALL,
        "Any rule of optax on the estimate; the state is the rule's.",
    ),
    "one_point": Method(
        lambda: descent(zojax.one_point(1e-3, key=0)),
        MEZO,
        "A second loss of the same batch cannot be had.",
    ),
    "spsa, Sparse()": Method(
        lambda: descent(zojax.spsa(1e-3, key=0, direction=zojax.Sparse())),
        BENCH,
        "Large weights matter more than small ones: a part of them rests in each step.",
    ),
    "blockwise": Method(
        lambda: descent(zojax.blockwise(1e-3, key=0)),
        BENCH,
        "As zo_sgd_blockwise, for a rule of optax of your own.",
    ),
    "spsa, Shaped(scale_by_adam())": Method(
        lambda: descent(zojax.spsa(1e-3, key=0, direction=zojax.Shaped(optax.scale_by_adam()))),
        ADAMU,
        "Comparing a rule on the direction with the same rule on the gradient.",
    ),
    "es, population=8": Method(
        lambda: zojax.es(1e-4, key=0, population=8),
        arxiv("2511.16652"),
        "What is tuned can only be scored: ranks of a population, in one batched pass.",
    ),
    "es_at_scale": Method(
        lambda: optimizers.es_at_scale(key=0),
        arxiv("2509.24372"),
        "Comparing with evolution strategies as they were published: full noise at one end.",
    ),
    "subspace(zo_adamu), rank 16": Method(
        lambda: zojax.subspace(
            zojax.zo_adamu(1e-4, eps=1e-3, key=0), rank=16, refresh=50, key=0, in_update=False
        ),
        ADAMU,
        "Momentum without room for it, or 16-bit parameters whose updates would be lost.",
    ),
    "subzero": Method(
        lambda: optimizers.subzero(1e-6, eps=1e-3, key=0, in_update=False),
        arxiv("2410.08989"),
        "mezo in a subspace that changes every 1,000 steps.",
    ),
    "subzero_plus, num_queries=20": Method(
        lambda: optimizers.subzero_plus(1e-4, eps=1e-3, key=0, num_queries=20, in_update=False),
        arxiv("2608.15665"),
        "Many queries a step: enough of them to see r² coordinates, and for Adam to scale them.",
    ),
    "lozo": Method(
        lambda: optimizers.lozo(1e-6, eps=1e-3, key=0, in_update=False),
        arxiv("2410.07698"),
        "As LowRank, with one factor kept for some steps.",
    ),
    "lozo_m": Method(
        lambda: optimizers.lozo_m(1e-6, eps=1e-3, key=0, in_update=False),
        arxiv("2410.07698"),
        "lozo with momentum of the size of its factor.",
    ),
    "zo_muon": Method(
        lambda: optimizers.zo_muon(1e-4, eps=1e-3, key=0, in_update=False),
        arxiv("2602.17155"),
        "Muon's steps, of equal size in all directions of an estimate, are wanted.",
    ),
    "tezo": Method(
        lambda: optimizers.tezo(1e-6, eps=1e-3, key=0),
        arxiv("2501.19057"),
        "The fewest coordinates: r numbers a matrix for the whole run.",
    ),
    "select(mezo, q_proj)": Method(
        lambda: zojax.select(zojax.mezo(1e-6, eps=1e-3, key=0), "*/q_proj/*"),
        MEZO,
        "Only a part of the parameters is to move.",
    ),
    "select(coordinatewise, final norm)": Method(
        lambda: zojax.select(descent(zojax.coordinatewise(1e-3)), "norm/*"),
        BENCH,
        "A few hundred numbers, and a gradient without noise: two forward passes for each.",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", choices=METHODS, nargs="+", default=METHODS)
    only = parser.parse_args().only
    # The file is said to be made by the whole command: rows that are not measured now are its too.
    del sys.argv[1:]
    # Methods that tune layer by layer need a leaf for each layer; all are measured alike.
    work = models.workload(MODEL, batch=BATCH, length=LENGTH, scan_layers=False)
    forward = planning.memory(planning.compile_forward(DEVICE, work)).device
    recorded = _record.RESULTS / f"{NAME}.json"
    kept = json.loads(recorded.read_text(encoding="utf-8"))["rows"] if recorded.is_file() else []
    rows = {row["method"]: row for row in kept if row["method"] in METHODS}
    for name in only:
        rows[name] = measured(name, work, forward)
        print(rows[name], flush=True)
        # Each time, so that a run that is cut short leaves what it has measured.
        in_order = [rows[method] for method in METHODS if method in rows]
        path = _record.write(NAME, TITLE, in_order, caption(work, forward))
    print(f"written: {path}")


def measured(name: str, work: planning.Workload, forward: int) -> dict[str, Any]:
    """The line of one method; ``forward`` is a forward pass's device bytes."""
    method = METHODS[name]
    step = planning.memory(planning.compile_step(DEVICE, work, method.make())).device
    return {
        "method": name,
        "forward passes": forward_passes(method.make(), work.params),
        "state, in parameters": state_size(method.make(), work.params),
        "step, MB": round(step / 1e6),
        "beyond a forward pass, in parameters": round((step - forward) / work.nbytes, 3),
        "source": method.source,
        "when to use it": method.when,
    }


def caption(work: planning.Workload, forward: int) -> str:
    """How the figures came about."""
    return (
        f"Memory is that of arguments, results and temporaries of the compiled step of {MODEL}, "
        f"float32, {BATCH}×{LENGTH} tokens, {DEVICE}; a forward pass needs "
        f"{round(forward / 1e6)} MB, of which {round(work.nbytes / 1e6)} MB are parameters. "
        "Forward passes are counted while a step runs, on a tree with the model's paths and "
        "vectors and one number for each of its matrices. One of hybrid's has a backward pass, and "
        "forward_gradient_sgd's is in forward mode."
    )


def forward_passes(tx: optax.GradientTransformationExtraArgs, params: Any) -> int:
    """Losses evaluated in one step of ``tx``, on a tree with the paths of ``params``."""
    small = jax.tree.map(lambda leaf: jnp.ones(leaf.shape if leaf.ndim == 1 else 1), params)
    calls: list[None] = []

    def value_fn(perturbed: Any) -> jax.Array:
        value = jnp.sum(jnp.concatenate(jax.tree.leaves(perturbed)) ** 2)
        # Runs each time that the compiled program gets here, in loops and batches too.
        jax.debug.callback(lambda _: calls.append(None), value)
        return value

    update = jax.jit(lambda state, params: tx.update(None, state, params, value_fn=value_fn))
    jax.block_until_ready(update(tx.init(small), small))
    jax.effects_barrier()
    return len(calls)


def state_size(tx: optax.GradientTransformationExtraArgs, params: Any) -> float:
    """Bytes of the state over bytes of the parameters."""

    def nbytes(tree: Any) -> int:
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))

    return round(nbytes(jax.eval_shape(tx.init, params)) / nbytes(params), 3)


if __name__ == "__main__":
    main()
