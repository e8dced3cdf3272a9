"""The optimizers, logs and replays where nothing is installed besides jax, optax and numpy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Packages of the extras; a meta-path finder in front of all others refuses to find them.
BLOCKED = """
import sys

EXTRAS = {
    "flax", "gguf", "huggingface_hub", "matplotlib", "msgspec", "orbax", "pandas", "pyarrow",
    "rich", "safetensors", "sklearn", "tokenizers", "torch", "transformers", "tyro",
}

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
"""

LOG_AND_REPLAY = """
import jax, jax.numpy as jnp, numpy as np, optax, zojax
import zojax.parallel, zojax.sharding, zojax.testing
from zojax.trajectory import (
    Field, Header, LogWriter, Recorder, fingerprint, key_parts, read_log, replay
)

params = {"a": {"kernel": jnp.ones((3, 4))}, "b": jnp.arange(4, dtype=jnp.bfloat16)}
tx = zojax.zo_sgd_momentum(1e-2, eps=1e-3, key=0)

@jax.jit
def step(params, state):
    recorder = Recorder()
    updates, state = tx.update(
        None, state, params, meter=recorder,
        value_fn=lambda p: jnp.sum(p["a"]["kernel"] ** 2) + jnp.sum(p["b"].astype(jnp.float32)),
    )
    return optax.apply_updates(params, updates), state, recorder.scalars

key, impl = key_parts(jax.random.key(0))
header = Header("zo_sgd_momentum", {}, key, impl, fingerprint(params), 0, (Field("slopes", 1),))
log, tuned, state = LogWriter("run.log", header), params, tx.init(params)
for _ in range(3):
    tuned, state, scalars = step(tuned, state)
    log.append(np.asarray(scalars))
log.close()
again = replay(tx, params, read_log("run.log"))
assert fingerprint(again) == fingerprint(tuned) != fingerprint(params)
print(fingerprint(params))
"""

EVERY_OPTIMIZER = """
import jax, jax.numpy as jnp, optax, zojax

ONE_STEP = {
    "forward_gradient_sgd": lambda: zojax.forward_gradient_sgd(1e-3, key=0),
    "zo_adamm": lambda: zojax.zo_adamm(1e-3, eps=1e-3, key=0),
    "zo_sgd_blockwise": lambda: zojax.zo_sgd_blockwise(1e-3, eps=1e-3, key=0, blocks="layers"),
    "hybrid": lambda: zojax.hybrid(zojax.mezo(1e-3, eps=1e-3, key=0), optax.sgd(1e-3), 1),
}
names = [name for name in dir(zojax) if name.startswith("zo_")]
named = {name: lambda name=name: getattr(zojax, name)(1e-3, eps=1e-3, key=0) for name in names}
optimizers = {**named, "mezo": lambda: zojax.mezo(1e-3, eps=1e-3, key=0), **ONE_STEP}
params = {"layers": {str(i): {"kernel": jnp.ones((4, 4))} for i in range(2)}}

def loss(p):
    x = jnp.ones((2, 4))
    for layer in p["layers"].values():
        x = jnp.tanh(x @ layer["kernel"])
    return jnp.mean(x)

for name, make in optimizers.items():
    tx = make()
    updates, _ = jax.jit(lambda s, tx=tx: tx.update(None, s, params, value_fn=loss))(
        tx.init(params)
    )
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(updates)), name
print(len(optimizers))
"""


def run_alone(script: str, folder: Path) -> str:
    """Run a script in a fresh process that finds no package of an extra; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_log_is_written_and_replayed_without_any_extra(tmp_path: Path):
    alone = run_alone(LOG_AND_REPLAY, tmp_path)
    # As recorded: an adapter's file names its base model by this very value, for years.
    assert alone == "542bbf025a76cc579359cedda87f67cd75c4c3fdadf8a5f55d42717fde7fafc8"


def test_every_named_optimizer_takes_a_step_without_any_extra(tmp_path: Path):
    assert int(run_alone(EVERY_OPTIMIZER, tmp_path)) >= 10
