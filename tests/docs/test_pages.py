"""The code and the names that the documentation shows."""

from __future__ import annotations

import ast
import re
import types
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import linen as nn

import zojax
from zojax.tasks import read_examples

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def run_page(path: str, **given: Any) -> dict[str, Any]:
    """Run a page's Python blocks in order, in one namespace."""
    text = (ROOT / path).read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert blocks, f"{path} shows no code"
    # dataclasses look their module up by name.
    module = types.ModuleType("page")
    namespace = vars(module)
    namespace.update(given)
    for block in blocks:
        line = text.count("\n", 0, block.start(1))
        # Blank lines before the code make a traceback point at the page's own line.
        exec(compile("\n" * line + block[1], path, "exec"), namespace)
    return namespace


@pytest.mark.quick
def test_the_loop_of_the_readme_runs_as_printed():
    model = nn.Dense(1)
    inputs = jax.random.normal(jax.random.key(0), (32, 4))
    targets = inputs.sum(axis=1, keepdims=True)

    def loss(params, batch):
        inputs, targets = batch
        return jnp.mean((model.apply(params, inputs) - targets) ** 2)

    params = model.init(jax.random.key(1), inputs)
    before = loss(params, (inputs, targets))
    given = {"params": params, "loss": loss, "batches": [(inputs, targets)] * 400}
    after = run_page("README.md", **given)
    assert loss(after["params"], (inputs, targets)) < before


@pytest.mark.usefixtures("standard_promotion")
def test_the_quickstart_runs_as_printed():
    run_page("docs/quickstart.md")


@pytest.mark.usefixtures("standard_promotion")
def test_the_baselines_page_runs_as_printed():
    assert run_page("docs/baselines.md")["found"].test.examples == 32


def test_the_finetune_page_runs_as_printed():
    assert run_page("docs/finetune.md")["config"].optimizer == "mezo"


@pytest.mark.usefixtures("standard_promotion")
def test_the_page_on_ones_own_model_runs_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = run_page("docs/own-model.md")
    saved = jax.tree.map(jnp.array_equal, given["again"].params, given["params"])
    assert jax.tree.all(saved)


def test_the_tasks_page_runs_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = run_page("docs/tasks.md")
    assert {name: len(split) for name, split in given["splits"].items()} == {
        "train": 2,
        "dev": 2,
        "test": 6,
    }
    assert int(given["totals"].examples) == 2
    for name, file in (("riddles", "riddles.jsonl"), ("capitals", "capitals.csv")):
        assert len(read_examples(file, given[name])) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("standard_promotion")
def test_the_adapters_page_runs_as_printed():
    run_page("docs/adapters.md")


@pytest.mark.slow
def test_the_scaling_page_runs_as_printed():
    given = run_page("docs/scaling.md")
    assert jnp.isfinite(given["value"])
    moments = given["own_state"][1][0].mu
    kernel = moments["model"]["decoder"]["layers"]["0"]["fc1"]["kernel"]
    assert kernel.sharding.spec == jax.sharding.PartitionSpec(None, "model")


@pytest.mark.slow
@pytest.mark.usefixtures("standard_promotion")
def test_the_objectives_page_runs_as_printed(capsys):
    given = run_page("docs/objectives.md")
    assert optax.tree_utils.tree_get(given["state"], "value") < -5
    assert len(ast.literal_eval(capsys.readouterr().out)) == 2


@pytest.mark.plan
def test_the_planning_page_runs_as_printed(capsys):
    run_page("docs/planning.md")
    assert "GiB" in capsys.readouterr().out


def test_the_parallel_page_runs_as_printed():
    run_page("docs/parallel.md")


@pytest.mark.slow
def test_the_examples_for_contributors_run_as_printed():
    direction = run_page("CONTRIBUTING.md")["Uniform"]()
    z = direction.draw(jax.random.key(0), (100, 100))
    assert abs(z.mean()) < 4.5 * z.std() / 100


@pytest.mark.quick
def test_every_public_name_is_in_the_reference():
    reference = "".join(page.read_text() for page in (ROOT / "docs" / "api").glob("*.md"))
    documented = set(re.findall(r"zojax\.(\w+)", reference))
    public = {
        name
        for name, value in vars(zojax).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public - documented == set()
    assert len(public) <= 40
