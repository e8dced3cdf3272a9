"""One road from plan to run: the same names, and a command that finetune reads."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from zojax import planning
from zojax.cli import main
from zojax.cli._arguments import Finetune
from zojax.cli._options import options_of
from zojax.cli._parser import parse
from zojax.cli._plan import finetune_command, run_figures, run_lines
from zojax.cli._plan_arguments import DeviceName, PlanArguments
from zojax.lm.training import DEFAULTS, AdapterConfig, FinetuneConfig
from zojax.lm.training import resolve as resolved


@pytest.mark.quick
def test_the_names_are_those_of_the_library():
    # They are written again in a module that is read without jax.
    names = {one.name: one for one in options_of(PlanArguments)}["optimizer"].choices
    assert {*names} == {*planning.OPTIMIZERS} == {*DEFAULTS, "inference"}
    assert get_args(DeviceName) == planning.DEVICES


PLANNED = {
    "": {
        "model": "opt-13b",
        "optimizer": "zo_adamu",
        "dtype": "bfloat16",
        "batch_size": 16,
        "max_length": 256,
        "mesh": None,
        "steps": 1000,
    },
    "--model facebook/opt-13b --optimizer mezo --batch 8 --length 64 --dtype float32": {
        "model": "facebook/opt-13b",
        "optimizer": "mezo",
        "dtype": "float32",
        "batch_size": 8,
        "max_length": 64,
    },
    "--devices 4 --steps 7 --num-queries 3": {"mesh": "model=4", "steps": 7, "num_queries": 3},
    "--mesh data=2,model=4 --layout fully-sharded --batch-size 4 --max-length 9": {
        "mesh": "data=2,model=4",
        "layout": "fully-sharded",
        "batch_size": 4,
        "max_length": 9,
    },
    "--adapter lora": {"tuned": AdapterConfig("lora", rank=8)},
    "--adapter lora --rank 4 --optimizer adam": {"tuned": AdapterConfig("lora", rank=4)},
    "--rows-per-example 3": {"batch_size": 16},
    "--subspace-rank 16": {"subspace_rank": 16},
    "--quantize int4 --subspace-rank 16": {"subspace_rank": 16, "quantize": "int4"},
    "--quantize int8 --adapter lora": {"tuned": AdapterConfig("lora", rank=8), "quantize": "int8"},
}


@pytest.mark.quick
@pytest.mark.parametrize("arguments", PLANNED)
def test_the_command_that_was_planned_is_read(arguments: str):
    command = finetune_command(parse("plan", PlanArguments, arguments.split()))
    assert command[:2] == ["zojax", "finetune"]
    config: FinetuneConfig = parse("finetune", Finetune, command[2:]).config
    assert resolved(config)  # the optimizer takes its settings
    of = {**vars(config), "max_length": config.data.max_length, "steps": config.num_steps}
    of["num_queries"] = config.hyper.num_queries
    of["subspace_rank"] = config.hyper.subspace_rank
    assert {name: of[name] for name in PLANNED[arguments]} == PLANNED[arguments]


@pytest.mark.quick
@pytest.mark.parametrize("optimizer", [*DEFAULTS])
def test_every_optimizer_of_finetune_is_planned_and_run(optimizer: str):
    command = finetune_command(parse("plan", PlanArguments, ["--optimizer", optimizer]))
    assert parse("finetune", Finetune, command[2:]).config.optimizer == optimizer


@pytest.mark.quick
def test_of_a_configuration_the_folder_is_run(tmp_path: Path):
    path = tmp_path / "a model" / "config.json"
    path.parent.mkdir()
    path.write_text("{}")
    command = shlex.join(finetune_command(PlanArguments(model=str(path))))
    assert f"--model '{path.parent}'" in command


REFUSED = {
    "--device a200": "--device must be one of a100-80gb, .* got 'a200'",
    "--optimizer mezzo": r"got 'mezzo'\. Did you mean mezo\?",
    "--optimizer forward_gradient": "Did you mean forward_gradient_sgd",
    "--dtype bfloat": r"got 'bfloat'\. Did you mean bfloat16\?",
    "--batch-size 0": "batch_size must be >= 1, got 0",
    "--layout fully-sharded": "layout needs mesh, got fully-sharded without one",
    "--devices 2 --mesh data=2": "devices must not be given with mesh, got 2 and data=2",
    "--rank 4": "rank needs adapter lora, got 4 without it",
    "--num-queries 0": "num_queries must be >= 1, got 0",
    "--num-queries 2 --optimizer adam": "num_queries must be 1 for adam, which has no queries",
    "--quantize int3": r"--quantize must be one of int8, int4, got 'int3'",
    "--quantize int4 --devices 2": "quantize must be for one device, got int4 with mesh or dev",
    "--quantize int4 --optimizer adam": "quantize must be with adapter lora, or subspace_rank, for",
    "--quantize int4": "quantize must be with adapter lora, or subspace_rank, for zo_adamu",
    "--subspace-rank 0": "subspace_rank must be >= 1, got 0",
    "--subspace-rank 4 --optimizer adam": "subspace_rank must not be given for adam",
    "--price 2": "price must be > 0 and needs steps, got 2.0 with steps=None",
    "--price -2 --steps 3": "price must be > 0 and needs steps, got -2.0",
    "--largest --chart x.png": "chart must not be given with largest",
    "--largest --mesh data=2": "mesh must not be given with largest",
    "--largest --adapter lora --steps 3": "adapter, steps must not be given with largest",
}


@pytest.mark.quick
@pytest.mark.parametrize("arguments", REFUSED)
def test_what_does_not_fit_together_is_refused(arguments: str, capsys: pytest.CaptureFixture[str]):
    assert main(["plan", *arguments.split()]) == 2
    error = capsys.readouterr().err
    assert error.startswith("zojax: plan: ")
    assert re.search(REFUSED[arguments], error)


@pytest.mark.quick
def test_unknown_models_are_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["plan", "--model=opt-14b"]) == 1
    assert "model must be one of opt-mini, roberta-mini, opt-125m" in capsys.readouterr().err


@pytest.mark.quick
def test_what_finetune_could_not_shard_is_not_planned(capsys: pytest.CaptureFixture[str]):
    for arguments in (["--mesh=data=2,model=3"], ["--devices=3"]):
        assert main(["plan", "--model=opt-13b", *arguments]) == 1
        error = capsys.readouterr().err
        assert "plan: the axis model of mesh must divide the model's num_attention_heads" in error


@pytest.mark.quick
def test_a_run_costs_at_least_its_steps_on_all_devices():
    arguments = PlanArguments(steps=10_000, price=2.5)
    found: Any = SimpleNamespace(step=SimpleNamespace(seconds=0.36), devices=4)
    run = run_figures(arguments, found)
    assert run == {
        "steps": 10_000,
        "run_seconds_at_least": 3600.0,
        "price": 2.5,
        "run_cost_at_least": 10.0,
    }
    title, time, cost, _ = run_lines(arguments, found, run)
    assert title == "run of 10000 steps, lower bounds"
    assert time.split() == ["time", "1.0", "h"]
    assert cost.split()[:2] == ["cost", "10.00"]
    assert cost.endswith("at 2.5 an hour for each of 4 devices")
    free = PlanArguments(steps=100)
    assert run_figures(free, found) == {"steps": 100, "run_seconds_at_least": 36.0}
    assert run_lines(free, found, run_figures(free, found))[1].split() == ["time", "0.6", "min"]
    assert run_figures(PlanArguments(), found) == {}


@pytest.mark.plan
@pytest.mark.usefixtures("standard_promotion")
def test_a_plan_ends_with_the_command_that_runs_it(
    tiny_opt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    figures = tmp_path / "plan.json"
    settings = "--batch-size=2 --rows-per-example=2 --max-length=16 --adapter=lora --rank=2"
    rest = ["--optimizer=zo_adam", "--steps=9", "--price=3", f"--json={figures}"]
    assert main(["plan", f"--model={tiny_opt}", *settings.split(), *rest]) == 0
    printed = capsys.readouterr().out
    content = json.loads(figures.read_text())
    assert content["batch_shapes"] == [[4, 16]]
    # Two moments of the adapter alone, in float32.
    assert 0 < content["state_bytes"] < content["parameter_bytes"] / 2
    assert content["run_seconds_at_least"] == 9 * content["step"]["roofline_seconds"]
    assert content["run_cost_at_least"] == 3 * content["run_seconds_at_least"] / 3600
    title, command, *_ = printed[printed.index("To run it:") :].splitlines()
    assert title == "To run it:"
    config = parse("finetune", Finetune, shlex.split(command)[2:]).config
    assert (config.model, config.optimizer, config.steps) == (str(tiny_opt), "zo_adam", 9)
    assert config.tuned == AdapterConfig("lora", rank=2)
