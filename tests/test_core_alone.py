"""The optimizers, logs and replays where nothing is installed besides jax, optax and numpy."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import zojax

ROOT = Path(__file__).parents[1]

# Finders that find nothing but Python's own modules, zojax's three dependencies, and what those
# cannot do without.
BLOCKED = """
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder

NEEDED = {
    "zojax", "jax", "jaxlib", "optax", "numpy",
    "absl", "ml_dtypes", "opt_einsum", "scipy", "typing_extensions",
}

class Needed:
    find_distributions = PathFinder.find_distributions  # versions

    def find_spec(name, path=None, target=None):
        package = name.split(".")[0]
        own = package in sys.stdlib_module_names or package[0] == "_"
        return PathFinder.find_spec(name, path, target) if own or package in NEEDED else None

sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Needed]
"""

LAZY = """
import sys
import zojax

late = [name for name in (*LATE, "optimizers") if f"zojax.{name}" in sys.modules]
assert not late, f"imported with zojax: {late}"
# `zojax --help` does not wait for them.
assert not {"jax", "numpy", "optax"} & {*sys.modules}
for name in LATE:
    assert name in dir(zojax)
    assert getattr(zojax, name) is sys.modules[f"zojax.{name}"]
assert zojax.trajectory.replay and zojax.sharding.shard and zojax.parallel.query_parallel
assert zojax.testing.check_optimizer and zojax.passes.of_step("mezo").cost == 2
try:
    zojax.transformers
except AttributeError:
    print("imported when they are used")
"""

LOG_AND_REPLAY = """
import jax, jax.numpy as jnp, numpy as np, optax, zojax
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
import inspect
import jax, jax.numpy as jnp, optax, zojax

GIVEN = {"learning_rate": 1e-3, "eps": 1e-3, "key": 0}

def make(factory):
    taken = inspect.signature(factory).parameters
    return factory(**{name: value for name, value in GIVEN.items() if name in taken})

optimizers = {
    name: lambda factory=factory: make(factory)
    for name, factory in vars(zojax.optimizers).items()
    if inspect.isfunction(factory)
    and {"learning_rate", "key"} <= {*inspect.signature(factory).parameters}
}
optimizers["hybrid"] = lambda: zojax.hybrid(make(zojax.mezo), optax.sgd(1e-3), 1)
params = {"layers": {str(i): {"kernel": jnp.ones((4, 4))} for i in range(2)}}

def loss(p):
    x = jnp.ones((2, 4))
    for layer in p["layers"].values():
        x = jnp.tanh(x @ layer["kernel"])
    return jnp.mean(x)

for name, made in optimizers.items():
    tx = made()
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
    assert int(run_alone(EVERY_OPTIMIZER, tmp_path)) >= 11


LATE = ("gallery", "parallel", "passes", "planning", "sharding", "testing", "trajectory")


def test_what_stands_on_the_core_is_imported_when_it_is_used(tmp_path: Path):
    assert run_alone(f"LATE = {LATE}\n{LAZY}", tmp_path) == "imported when they are used"


def test_names_of_models_are_there_and_their_shapes_name_the_extra(tmp_path: Path):
    script = """
import zojax

try:
    zojax.lm.models.workload(zojax.lm.models.OPT_MODELS[0], batch=1, length=8)
except ImportError as error:
    print(error)
"""
    said = 'workload: language models need flax: pip install "zojax[hf]".'
    assert run_alone(script, tmp_path) == said


def test_the_folder_for_flax_names_the_extra(tmp_path: Path):
    script = """
import zojax

try:
    zojax.flax
except ImportError as error:
    print(error)
"""
    said = 'zojax.flax: it needs flax: pip install "zojax[hf]".'
    assert run_alone(script, tmp_path) == said


def test_an_extra_is_not_found_here(tmp_path: Path):
    script = """
from importlib.util import find_spec

print(*(name for name in ("flax", "pytest", "numpy") if find_spec(name) is None))
"""
    assert run_alone(script, tmp_path).split() == ["flax", "pytest"]


def test_names_for_type_checkers_are_those_at_run_time():
    tree = ast.parse((ROOT / "zojax" / "__init__.py").read_text())
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.name: node.module
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    folders = {name for name, module in imported.items() if module == "zojax"}
    given_on = {name: folder for folder, names in zojax._NAMES.items() for name in names}  # pyright: ignore[reportPrivateUsage]
    assert {name: f"zojax.{folder}" for name, folder in given_on.items()} == {
        name: module for name, module in imported.items() if name not in folders
    }
    for name in (*folders, *given_on):
        assert name in dir(zojax)
        assert getattr(zojax, name) is not None
