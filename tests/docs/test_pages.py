"""The code and the names that the documentation shows."""

from __future__ import annotations

import ast
import re
import types
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from chats import write_chat_model
from documents import PAGES, read
from flax import linen as nn

import zojax
from zojax.lm.tasks import read_examples

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def run_page(path: str, heading: str = "", **given: Any) -> dict[str, Any]:
    """Run a page's Python blocks in order, in one namespace; of one section, if it is named."""
    text = (ROOT / path).read_text(encoding="utf-8")
    first = text.index(f"\n## {heading}\n") if heading else 0
    last = text.find("\n## ", first + 1) if heading else -1
    blocks = list(BLOCK.finditer(text, first, len(text) if last < 0 else last))
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


def test_the_loop_of_the_readme_reads_the_loss_whatever_the_parameters_are_called(capsys):
    # As the attention layers of RoBERTa and of Flax have it, and so the momentum.
    params = {
        "key": jnp.ones((2, 3)),
        "value": {"kernel": jnp.ones((3, 2))},
        "skipped": jnp.ones(2),
    }

    def loss(params, batch):
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))

    run_page("README.md", params=params, loss=loss, batches=[None])
    assert float(capsys.readouterr().out) == pytest.approx(14.0, rel=1e-2)


def chains_with_decay() -> dict[str, ast.expr]:
    """The optimizers of README and of all pages that decay weights, by page and line."""
    found: dict[str, ast.expr] = {}
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = page.read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            for node in ast.walk(ast.parse(block[1])):
                if isinstance(node, ast.Assign) and "decay" in ast.unparse(node.value):
                    line = text.count("\n", 0, block.start(1)) + node.lineno
                    found[f"{page.relative_to(ROOT)}:{line}"] = node.value
    return found


class OtherNumbers(ast.NodeTransformer):
    """Puts a learning rate of 0.5 and a decay of 0.1 in the place of a page's."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        name = ast.unparse(node.func)
        rates = ("zojax.mezo", "zojax.zo_adamu", "zojax.zo_adam", "optax.scale_by_learning_rate")
        first = 0.5 if name in rates else 0.1 if name == "optax.add_decayed_weights" else None
        if node.args and first is not None:
            node.args[0] = ast.Constant(first)
        for keyword in node.keywords:
            if keyword.arg in ("learning_rate", "weight_decay"):
                keyword.value = ast.Constant(0.5 if keyword.arg == "learning_rate" else 0.1)
        return node


def test_readme_and_quickstart_show_decay():
    pages = [name.split(":")[0] for name in chains_with_decay()]
    assert sorted(pages) == ["README.md"] * 2 + ["docs/quickstart.md"] * 2


@pytest.mark.parametrize("name", chains_with_decay())
def test_decay_makes_parameters_smaller_whatever_the_numbers(name: str):
    expression = ast.fix_missing_locations(
        ast.Expression(OtherNumbers().visit(chains_with_decay()[name]))
    )
    tx = eval(compile(expression, name, "eval"), {"jax": jax, "optax": optax, "zojax": zojax})
    params = {"matrix": jnp.ones((3, 2)), "other": -jnp.ones((2, 2))}
    updates, _ = tx.update(None, tx.init(params), params, value_fn=lambda _: jnp.zeros(()))
    for leaf in jax.tree.leaves(optax.apply_updates(params, updates)):
        np.testing.assert_allclose(jnp.abs(leaf), 0.95, rtol=1e-6)


def test_the_page_on_precision_names_the_spacing_of_bfloat16():
    text = (ROOT / "docs" / "precision.md").read_text(encoding="utf-8")
    said = re.search(r"Next to 1, bfloat16 numbers are 2⁻(.) apart above and 2⁻(.) below", text)
    assert said is not None
    powers = ["⁰¹²³⁴⁵⁶⁷⁸⁹".index(power) for power in said.groups()]
    one = np.array(1, ml_dtypes.bfloat16).view(np.uint16)
    below, at, above = (one + np.arange(-1, 2, dtype=np.int16).view(np.uint16)).view(
        ml_dtypes.bfloat16
    )
    assert [float(above) - float(at), float(at) - float(below)] == [2.0**-power for power in powers]
    # And a perturbation of 1e-3 leaves 1 as it is.
    assert np.array([1 + 1e-3, 1 - 1e-3]).astype(ml_dtypes.bfloat16).tolist() == [1, 1]


@pytest.mark.quick
def test_concepts_explains_every_field_of_the_state():
    text = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    section = text.split("\n## State\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(
        zojax.estimators.EstimatorState._fields
    )


@pytest.mark.quick
def test_concepts_is_right_about_the_fields_that_may_be_none():
    params = {"w": jnp.ones(3)}
    shapes = {"size": jax.ShapeDtypeStruct((), jnp.float32)}

    def state_after(tx, with_aux):
        def value_fn(p):
            value = jnp.sum(p["w"] ** 2)
            return (value, {"size": value}) if with_aux else value

        return tx.update(None, tx.init(params), params, value_fn=value_fn)[1]

    plain = state_after(zojax.spsa(1e-3, key=0), False)
    assert (plain.aux, plain.feedback, plain.direction, plain.slope_rule) == (None, None, (), ())
    assert state_after(zojax.spsa(1e-3, key=0, has_aux=True), True).aux is None
    kept = state_after(zojax.spsa(1e-3, key=0, has_aux=shapes), True).aux
    assert float(kept["size"]) == pytest.approx(3.0, rel=1e-2)
    tx = zojax.one_point(1e-3, key=0)
    assert tx.init(params).feedback == jnp.inf
    first = state_after(tx, False)
    assert first.feedback == first.value
    assert first.rested
    assert first.skipped == 0
    assert state_after(zojax.coordinatewise(1e-3), False).key is None


ESTIMATE = zojax.spsa(1e-3, key=0)
# What a step without a finite loss leaves as it was.
RESTS = {
    "named": (zojax.zo_adam(1e-2, eps=1e-3, key=0), True),
    "zojax.chain": (zojax.chain(ESTIMATE, optax.adam(1e-2)), True),
    "optax.chain": (optax.chain(ESTIMATE, optax.adam(1e-2)), False),
}


@pytest.mark.usefixtures("standard_promotion")  # optax.adam promotes its count
@pytest.mark.parametrize("chain", RESTS)
def test_the_page_on_precision_is_right_about_steps_that_are_not_finite(chain: str):
    tx, rests = RESTS[chain]
    params = {"w": jnp.ones(3)}
    state, moved = tx.init(params), [params["w"]]
    for bad in (1.0, jnp.nan):
        updates, state = tx.update(
            None, state, params, value_fn=lambda p, bad=bad: bad * jnp.sum(p["w"] ** 2)
        )
        params = optax.apply_updates(params, updates)
        moved.append(params["w"])
    assert jnp.isfinite(moved[2]).all()
    assert bool((moved[2] == moved[1]).all()) == rests
    assert jnp.isnan(zojax.last_loss(state))
    assert state[0].skipped == 1


def test_the_page_on_precision_is_right_about_apply_if_finite():
    tx = optax.apply_if_finite(ESTIMATE, 3)
    params = {"w": jnp.ones(3)}
    with pytest.raises(TypeError):
        tx.update(None, tx.init(params), params, value_fn=lambda p: p["w"].sum())


@pytest.mark.usefixtures("standard_promotion")
def test_the_quickstart_runs_as_printed():
    run_page("docs/quickstart.md")


@pytest.mark.usefixtures("standard_promotion")
def test_the_baselines_page_runs_as_printed():
    assert run_page("docs/baselines.md")["found"].test.examples == 32


GIVEN = dict(jax=jax, jnp=jnp, optax=optax, zojax=zojax)  # as the pages' first lines name them


@pytest.mark.quick
@pytest.mark.parametrize("page", ["index", "choose", "migrating"])
def test_a_first_page_runs_as_printed(page: str):
    run_page(f"docs/{page}.md")


@pytest.mark.parametrize("page", ["concepts", "precision"])
def test_an_explanation_runs_as_printed(page: str):
    run_page(f"docs/{page}.md", **GIVEN)


@pytest.mark.slow  # test_contract.py makes the same check of every optimizer
def test_the_page_on_checks_runs_as_printed():
    run_page("docs/api/testing.md")


def test_the_finetune_page_runs_as_printed():
    assert run_page("docs/finetune.md")["config"].optimizer == "mezo"


def test_the_page_on_predicting_runs_as_printed(
    tiny_opt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    from zojax.lm.training import FinetuneConfig
    from zojax.lm.training._run_folder import RunFolder

    RunFolder(tmp_path, FinetuneConfig(model=str(tiny_opt))).write_results({"best_step": 0})
    run = run_page("docs/predict.md", folder=tmp_path)["run"]
    printed = [line.split(" ") for line in capsys.readouterr().out.splitlines()]
    assert len(printed) == 2
    assert all(label in run.labels and 0.5 <= float(score) <= 1 for label, score in printed)


CHATS = ROOT / "examples" / "chats.jsonl"


@pytest.fixture
def chat_run(tmp_path: Path) -> Path:
    """The folder of a run on chats, of which no step was taken."""
    from zojax.lm.training import DataConfig, FinetuneConfig
    from zojax.lm.training._run_folder import RunFolder

    # Long enough for the page's messages in a tokenizer of few merges.
    model = write_chat_model(tmp_path / "model", max_position_embeddings=300)
    data = DataConfig(train=CHATS, kind="chat")
    config = FinetuneConfig(model=str(model), data=data)
    RunFolder(tmp_path / "run", config).write_results({"best_step": 0})
    return tmp_path / "run"


def test_the_page_on_chats_runs_as_printed(chat_run: Path):
    answers = run_page("docs/chats.md", folder=chat_run)["answers"]
    assert [type(answer) for answer in answers] == [str, str]


def test_the_tutorial_on_chats_runs_as_printed(chat_run: Path, capsys: pytest.CaptureFixture[str]):
    assert run_page("docs/tutorials/chats.md", folder=chat_run)["run"]
    assert capsys.readouterr().out.endswith("\n")


# Run by tests/journeys and tests/lm/models; the models' cards show how transformers reads them.
ELSEWHERE = {
    "docs/small_networks.md",
    "docs/tutorials/csv.md",
    "docs/real_checkpoints.md",
    "docs/opt-mini.md",
    "docs/roberta-mini.md",
}


@pytest.mark.quick
def test_every_page_with_code_is_run():
    source = Path(__file__).read_text(encoding="utf-8")
    for page in PAGES:
        if BLOCK.search(read(page)) and page not in ELSEWHERE:
            name = page.removeprefix("docs/").removesuffix(".md")
            assert f'"{page}"' in source or re.search(rf'parametrize\("page".*"{name}"', source)


@pytest.mark.quick
def test_the_example_of_chats_is_read_whole(tmp_path: Path):
    from zojax.lm.training import DataConfig, FinetuneConfig, prepare

    model = write_chat_model(tmp_path / "model", max_position_embeddings=600)
    found = prepare(FinetuneConfig(model=str(model), data=DataConfig(train=CHATS)))
    assert found.config.data.kind == "chat"
    assert sum(found.report.rows.values()) == len(CHATS.read_text().splitlines())
    assert (found.report.cut, found.report.skipped, found.report.repeated) == (0, 0, 0)
    shown = (ROOT / "docs" / "chats.md").read_text(encoding="utf-8")
    # The page shows another model's tokens, and the same rows.
    for line in found.report.lines()[:4]:
        assert line.replace(str(CHATS), "examples/chats.jsonl") in shown


@pytest.mark.quick
def test_the_page_on_predicting_shows_the_figures_of_its_matrix():
    from zojax.lm.prediction import as_text
    from zojax.lm.training import Confusion

    text = (ROOT / "docs" / "predict.md").read_text(encoding="utf-8")
    shown = text.split("```\nclass")[1].split("\n```")[0]
    _, *rows = shown.split("true \\ predicted")[1].splitlines()
    labels = tuple(row.split()[0] for row in rows)
    counts = np.array([[int(cell) for cell in row.split()[1:]] for row in rows])
    assert as_text(Confusion(labels, counts)) == "class" + shown


@pytest.mark.slow
@pytest.mark.usefixtures("standard_promotion")
def test_the_models_page_runs_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = run_page("docs/models.md")
    saved = jax.tree.map(jnp.array_equal, given["again"].params, given["params"])
    assert jax.tree.all(saved)


@pytest.mark.filterwarnings("ignore")  # orbax's own
@pytest.mark.usefixtures("standard_promotion")
def test_the_page_on_flax_runs_as_printed(capsys):
    with jax.numpy_rank_promotion("allow"):
        given = run_page("docs/flax.md")
    # The mean of squares is 8 for a model that always says 0.
    losses = [float(line) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 3
    assert max(losses) < 2
    assert given["losses"].shape == (3, 50)


OTHER_MODELS = {"Equinox": "equinox", "Penzai": "penzai"}


@pytest.mark.filterwarnings("ignore")  # other libraries' own
@pytest.mark.usefixtures("standard_promotion")
@pytest.mark.parametrize("heading", OTHER_MODELS)
def test_the_page_on_other_libraries_runs_as_printed(heading: str, capsys):
    package = OTHER_MODELS[heading]
    pytest.importorskip(package, reason=f"needs {package}, of which the page has a section")
    with jax.numpy_rank_promotion("allow"):
        run_page("docs/other_models.md", heading)
    # The mean of squares is 8 for a model that always says 0.
    assert float(capsys.readouterr().out) < 2


def test_every_section_on_other_libraries_is_run():
    text = (ROOT / "docs" / "other_models.md").read_text(encoding="utf-8")
    shown = [part.partition("\n")[0] for part in text.split("\n## ")[1:] if "```python" in part]
    assert shown == [*OTHER_MODELS]


@pytest.mark.slow
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


def test_the_page_on_quantized_weights_runs_as_printed():
    run_page("docs/quantized.md")


@pytest.mark.slow
def test_the_scaling_page_runs_as_printed():
    given = run_page("docs/scaling.md")
    assert jnp.isfinite(given["value"])
    moments = given["own_state"][1][0].mu
    kernel = moments["layers"]["mlp"]["up_proj"]["kernel"]
    assert kernel.sharding.spec == jax.sharding.PartitionSpec(None, None, "model")


@pytest.mark.slow
@pytest.mark.usefixtures("standard_promotion")
def test_the_objectives_page_runs_as_printed(capsys):
    given = run_page("docs/objectives.md")
    assert zojax.last_loss(given["state"]) < -5
    assert len(ast.literal_eval(capsys.readouterr().out)) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("standard_promotion")
def test_the_rewards_page_runs_as_printed(capsys):
    given = run_page("docs/rewards.md")
    assert 0 < float(given["reward"]) <= 1
    assert "RewardFigures(" in capsys.readouterr().out


def test_the_recovery_page_runs_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = run_page("docs/recovery.md")
    for rebuilt, last in ((given["again"], True), (given["halfway"], False)):
        assert (
            np.asarray(rebuilt["w"]).tobytes() == np.asarray(given["params"]["w"]).tobytes()
        ) is last
    assert len(given["log"].scalars) == 20


@pytest.fixture(scope="module")
def engines_page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the first section on engines leaves, of shorter runs."""
    text = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
    assert "range(10)" in text
    return run_page(
        "docs/engines.md",
        "A step",
        folder=tmp_path_factory.mktemp("engines") / "adapter",
        range=lambda steps: range(2),
    )


@pytest.mark.slow
def test_the_page_on_engines_runs_as_printed(engines_page: dict[str, Any], tmp_path: Path, capsys):
    import lora_server

    from zojax.lm.adapters import load_adapter

    given = engines_page
    assert load_adapter(given["model"], given["folder"])[0].rank == 4
    names = ("lora", "model", "params", "prompts", "engine", "cost", "decoding")
    given = {"zojax": zojax, **{name: given[name] for name in names}}
    given["engine_step"] = zojax.lm.engines.engine_step
    after = run_page("docs/engines.md", "The weights themselves", **given)
    assert len(after["step"].losses) == 16
    with lora_server.serving(engines_page["engine"]) as server:
        found = run_page("docs/engines.md", "A server", url=server.url, shared=tmp_path, **given)
        assert [len(texts) for texts in found["completions"]] == [4]
        assert not server.loaded


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:FutureWarning", "ignore:.*:DeprecationWarning")
def test_the_page_on_engines_runs_with_transformers(engines_page: dict[str, Any], tmp_path: Path):
    pytest.importorskip("torch", reason="needs torch, whose models it runs")
    pytest.importorskip("peft", reason="needs peft, which reads the adapters")
    given = {name: engines_page[name] for name in ("lora", "model", "params", "prompts")}
    model = given["model"]
    model.save(model.params, tmp_path / "model")
    found = run_page(
        "docs/engines.md", "transformers with peft", folder=tmp_path / "model", **given
    )
    assert [len(texts) for texts in found["completions"]] == [4, 4]


@pytest.mark.plan
def test_the_planning_page_runs_as_printed(capsys):
    run_page("docs/planning.md")
    assert "GiB" in capsys.readouterr().out


def test_the_page_on_ask_and_tell_runs_as_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run_page("docs/ask_tell.md")
    reward, shapes, of_workers = capsys.readouterr().out.splitlines()
    assert float(reward) > -0.5
    assert shapes == "(8, 1) (1, 4) (4,)"
    assert of_workers == "9 16 ()"


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
        for name in dir(zojax)
        if not name.startswith("_") and not isinstance(getattr(zojax, name), types.ModuleType)
    }
    assert public - documented == set()
    assert len(public) <= 40
