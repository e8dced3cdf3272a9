"""Runs that are stopped in any way, and go on to the bits of one that never was."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from sets import slow_except

import zojax.lm.models
from zojax.cli import main
from zojax.lm.training import (
    AdapterConfig,
    FinetuneConfig,
    HyperParameters,
    Observer,
    Result,
    Tick,
    evaluate_run,
    finetune,
    replay_run,
)
from zojax.lm.training._lock import FolderLock
from zojax.lm.training._run_folder import FORMAT
from zojax.trajectory import LogWriter, read_log

# optax's own rules promote integer counts with floats.
pytestmark = [
    pytest.mark.usefixtures("standard_promotion"),
    # Where an array of a checkpoint is damaged, orbax closes its loop on reads of the others.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. None:pytest.PytestUnraisableExceptionWarning"
    ),
]


class Killed(BaseException):
    """What nobody handles."""


class Killer(Observer):
    """Ends the run at a tick: by an exception, or by a signal that it gets."""

    def __init__(self, step: int, number: int = 0) -> None:
        self._step, self._number = step, number

    def ticked(self, tick: Tick) -> None:
        if tick.step != self._step:
            return
        if not self._number:
            raise Killed
        signal.raise_signal(self._number)


def kill(config: FinetuneConfig, step: int) -> Path:
    with pytest.raises(Killed):
        finetune(config, Killer(step))
    assert config.output is not None
    return config.output


def resume(folder: Path) -> Result:
    return finetune(FinetuneConfig(resume=folder))


def weights(folder: Path) -> bytes:
    [path] = [path for path in folder.iterdir() if path.suffix == ".safetensors"]
    return path.read_bytes()


def scores(result: Result) -> tuple[Any, ...]:
    return result.steps, result.best_step, result.zero_shot, result.tuned, result.best


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


VARIANTS: dict[str, dict[str, Any]] = {
    "mezo": dict(optimizer="mezo"),
    "zo_adamu, no checkpoints": dict(optimizer="zo_adamu", keep=0, slopes="bfloat16"),
    "zo_adam, lora": dict(optimizer="zo_adam", tuned=AdapterConfig("lora", rank=2), keep=2),
    "adam": dict(optimizer="adam"),
    "in place": dict(
        optimizer="zo_sgd_conservative",
        hyper=HyperParameters(learning_rate=1e-2, evaluation="in_place"),
    ),
}


@pytest.fixture(scope="module", params=slow_except(list(VARIANTS), "mezo"))
def whole(
    request: pytest.FixtureRequest, base: FinetuneConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[FinetuneConfig, Result]:
    """A run of each kind that nothing stops."""
    hyper = HyperParameters(learning_rate=1e-2)
    changes = dict(steps=8, hyper=hyper, output=tmp_path_factory.mktemp("whole") / "run")
    config = dataclasses.replace(base, **{**changes, **VARIANTS[request.param]})
    with jax.numpy_dtype_promotion("standard"):
        return config, finetune(config)


def test_a_killed_run_goes_on_to_the_same_bits(
    whole: tuple[FinetuneConfig, Result], tmp_path: Path
):
    config, expected = whole
    # Twice: between two checkpoints with a torn record, and right after a checkpoint.
    folder = kill(dataclasses.replace(config, output=tmp_path / "run"), 4)
    log = folder / "trajectory.log"
    if config.optimizer != "adam":
        assert len(read_log(log).scalars) == 4
        log.write_bytes(log.read_bytes()[:-1])
        assert "model" not in {path.name for path in folder.iterdir()}
    with pytest.raises(Killed):
        finetune(FinetuneConfig(resume=folder), Killer(6))
    result = resume(folder)
    assert scores(result) == scores(expected)
    assert weights(result.model_folder) == weights(expected.model_folder)
    if expected.best_step not in (0, 8):
        assert weights(folder / "best") == weights(expected.folder / "best")
    if config.optimizer != "adam":
        assert log.read_bytes() == (expected.folder / "trajectory.log").read_bytes()
    steps = [line["step"] for line in lines(folder)]
    assert steps == sorted(set(steps))
    dev = [
        [x.get("dev_loss") for x in lines(f) if "dev_loss" in x] for f in (folder, config.output)
    ]
    assert dev[0] == dev[1]
    with pytest.raises(ValueError, match="resume must be a run that is not complete"):
        resume(folder)


def test_the_log_alone_is_the_model(whole: tuple[FinetuneConfig, Result], tmp_path: Path):
    config, expected = whole
    if config.optimizer == "adam":
        with pytest.raises(ValueError, match="got adam, whose updates need gradients"):
            replay_run(config.model, expected.folder, tmp_path / "again")
        return
    found = replay_run(config.model, expected.folder, tmp_path / "again")
    assert found.steps == 8
    assert weights(found.folder) == weights(expected.model_folder)
    best = expected.best_step
    if best not in (0, 8):
        replay_run(config.model, expected.folder / "trajectory.log", tmp_path / "b", until=best)
        assert weights(tmp_path / "b") == weights(expected.folder / "best")


def losses(folder: Path) -> list[tuple[Any, ...]]:
    """What metrics.jsonl says of training and of dev, without the time that it took."""
    names = ("step", "loss", "left_out", "forward_passes", "skipped", "dev_loss")
    return [tuple(line.get(name) for name in names) for line in lines(folder)]


def kill_after_record(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let a run die when the record of a step is written, and nothing after it."""
    append = LogWriter.append

    def last(self: LogWriter, scalars: np.ndarray) -> None:
        append(self, scalars)
        if self.steps == step:
            raise Killed

    monkeypatch.setattr(LogWriter, "append", last)


@pytest.fixture(scope="module")
def unbroken_lines(
    request: pytest.FixtureRequest, base: FinetuneConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[FinetuneConfig, list[tuple[Any, ...]]]:
    """The lines of a run that nothing stops, after steps 3, 4, 6, 8 and 9."""
    config = dataclasses.replace(broken_off(base), optimizer=request.param, log_every=4)
    output = tmp_path_factory.mktemp("lines") / "run"
    with jax.numpy_dtype_promotion("standard"):
        finetune(dataclasses.replace(config, output=output))
    assert [line[0] for line in losses(output)] == [0, 3, 4, 6, 8, 9]
    return config, losses(output)


# After step 5, within the mean of steps 5 and 6; after 6 and 8, whose own lines are not written.
@pytest.mark.parametrize(
    ("step", "keep"),
    slow_except(
        {f"{step}-{keep}": (step, keep) for step in (5, 6, 8) for keep in (0, 1)},
        *("5-1", "6-0", "8-1"),
    ),
)
@pytest.mark.parametrize("unbroken_lines", ["mezo"], indirect=True)
def test_a_killed_run_goes_on_to_the_same_lines(
    step: int,
    keep: int,
    unbroken_lines: tuple[FinetuneConfig, list[tuple[Any, ...]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    config, expected = unbroken_lines
    config = dataclasses.replace(config, keep=keep, output=tmp_path / "run")
    kill_after_record(monkeypatch, step)
    with pytest.raises(Killed):
        finetune(config)
    monkeypatch.undo()
    resume(tmp_path / "run")
    assert losses(tmp_path / "run") == expected


# Only Adam's losses are in a file of their own; the log has those of MeZO.
@pytest.mark.parametrize("unbroken_lines", slow_except(["mezo", "adam"], "adam"), indirect=True)
def test_a_run_that_a_signal_has_ended_goes_on_to_the_same_lines(
    unbroken_lines: tuple[FinetuneConfig, list[tuple[Any, ...]]], tmp_path: Path
):
    config, expected = unbroken_lines
    # The step after the fourth is the last. Its line is one that a run without signals has not got.
    stopped = finetune(
        dataclasses.replace(config, output=tmp_path / "run"), Killer(4, signal.SIGTERM)
    )
    assert (stopped.steps, losses(tmp_path / "run")[-1][0]) == (5, 5)
    resume(tmp_path / "run")
    assert losses(tmp_path / "run") == expected
    assert not (tmp_path / "run" / "losses.bin").exists()


@pytest.mark.parametrize("unbroken_lines", ["adam"], indirect=True)
def test_a_mean_whose_losses_are_lost_says_how_many(
    unbroken_lines: tuple[FinetuneConfig, list[tuple[Any, ...]]], tmp_path: Path
):
    config, expected = unbroken_lines
    finetune(dataclasses.replace(config, output=tmp_path / "run"), Killer(4, signal.SIGTERM))
    torn = tmp_path / "run" / "losses.bin"
    torn.write_bytes(torn.read_bytes()[:-1])
    resume(tmp_path / "run")
    found = losses(tmp_path / "run")
    assert [line[0] for line in found] == [line[0] for line in expected]
    differ = [line for line, whole in zip(found, expected, strict=True) if line != whole]
    assert [line[:1] + line[2:3] for line in differ] == [(6, 1)]


def broken_off(base: FinetuneConfig) -> FinetuneConfig:
    hyper = HyperParameters(learning_rate=1e-2)
    return dataclasses.replace(base, steps=9, hyper=hyper, keep=2, log_every=1)


@pytest.fixture(scope="module")
def unbroken(base: FinetuneConfig, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The run that others are, when they have gone on to their end."""
    config = dataclasses.replace(
        broken_off(base), output=tmp_path_factory.mktemp("unbroken") / "run"
    )
    with jax.numpy_dtype_promotion("standard"):
        return finetune(config)


@pytest.mark.parametrize(
    "number",
    slow_except({"SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}, "SIGTERM"),
)
def test_a_signal_ends_a_run_with_everything_written(
    number: signal.Signals, base: FinetuneConfig, unbroken: Result, tmp_path: Path
):
    # The step after the fourth, which is no step for a checkpoint, is the last.
    config = dataclasses.replace(broken_off(base), output=tmp_path / "run")
    stopped = finetune(config, Killer(4, number))
    assert (stopped.signal, stopped.steps, stopped.tuned) == (number, 5, None)
    assert len(read_log(tmp_path / "run" / "trajectory.log").scalars) == 5
    assert (tmp_path / "run" / "checkpoints" / "5").is_dir()
    result = resume(tmp_path / "run")
    assert result.signal == 0
    assert scores(result) == scores(unbroken)
    assert weights(result.model_folder) == weights(unbroken.model_folder)


@pytest.fixture(scope="module")
def killed_once(base: FinetuneConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = dataclasses.replace(broken_off(base), output=tmp_path_factory.mktemp("killed") / "run")
    with jax.numpy_dtype_promotion("standard"):
        return kill(config, 7)


@pytest.fixture
def killed(killed_once: Path, tmp_path: Path) -> Path:
    """A run of MeZO with checkpoints of steps 3 and 6, killed after step 7."""
    return shutil.copytree(killed_once, tmp_path / "run")


def test_an_altered_log_is_refused_with_the_last_good_step(killed: Path):
    log = killed / "trajectory.log"
    content = bytearray(log.read_bytes())
    content[-20] ^= 4  # the fourth of seven records of six bytes
    log.write_bytes(content)
    with pytest.raises(ValueError, match=r"altered at step 4\. The last good step is 3"):
        resume(killed)


def test_a_log_that_ends_before_the_checkpoint_is_refused(killed: Path):
    log = killed / "trajectory.log"
    log.write_bytes(log.read_bytes()[: -2 * 6])
    with pytest.raises(ValueError, match=r"that of step 6, and its last good step is 5\."):
        resume(killed)


def test_an_altered_checkpoint_is_refused_and_the_one_before_it_will_do(
    killed: Path, unbroken: Result, tmp_path: Path
):
    files = [path for path in (killed / "checkpoints" / "6").rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 4
    largest.write_bytes(content)
    with pytest.raises(ValueError, match=r"checkpoints/6 is truncated, altered.*that of step 3"):
        resume(killed)
    (killed / "checkpoints" / "6").rename(tmp_path / "bad")
    assert weights(resume(killed).model_folder) == weights(unbroken.model_folder)


def test_a_checkpoint_that_was_being_written_is_not_there(killed: Path):
    half = killed / "checkpoints" / "6"
    half.rename(half.with_name("6.orbax-checkpoint-tmp"))
    assert resume(killed).steps == 9
    assert not half.with_name("6.orbax-checkpoint-tmp").exists()


def test_another_base_model_is_refused(killed: Path, untied_opt: Path, tmp_path: Path):
    config = json.loads((killed / "config.json").read_text())
    (killed / "config.json").write_text(json.dumps({**config, "model": str(untied_opt)}))
    with pytest.raises(ValueError, match="the base model must be the one that the run began with"):
        resume(killed)
    with pytest.raises(ValueError, match="params must be those that the log starts from"):
        replay_run(str(untied_opt), killed, tmp_path / "out")


def test_other_settings_are_refused(killed: Path):
    config = json.loads((killed / "config.json").read_text())
    (killed / "config.json").write_text(json.dumps({**config, "batch_size": 4}))
    with pytest.raises(ValueError, match=r"must be of a run with the settings in config\.json"):
        resume(killed)
    with pytest.raises(ValueError, match="resume must be given alone"):
        finetune(FinetuneConfig(resume=killed, batch_size=4))


def test_a_run_of_another_format_is_refused_before_anything_of_it_is_read(
    killed: Path, tmp_path: Path
):
    # As zojax 0.1.0 was before the format had a number; what lies beside the settings may be
    # anything.
    config = json.loads((killed / "config.json").read_text())
    assert config.pop("format") == FORMAT
    config["versions"]["zojax"] = "0.1.0.dev3"
    (killed / "config.json").write_text(json.dumps(config))
    (killed / "trajectory.log").write_bytes(b"")
    for file in (killed / "checkpoints" / "6").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    before = {path: path.read_bytes() for path in killed.rglob("*") if path.is_file()}
    refusal = (
        rf"the format of .*config\.json must be {FORMAT}, got 1, that of zojax 0\.1\.0\.dev3, "
        "and this"
    )
    for read in (
        lambda: resume(killed),
        lambda: evaluate_run(killed),
        lambda: replay_run("opt-mini", killed, tmp_path / "out"),
    ):
        with pytest.raises(ValueError, match=refusal):
            read()
    assert {path: path.read_bytes() for path in killed.rglob("*") if path.is_file()} == before


def test_two_runs_in_one_folder_are_refused(killed: Path):
    with FolderLock(killed), pytest.raises(FileExistsError, match=r"where process \d+ is running"):
        resume(killed)
    # Of a process that was killed, the file is left, and holds nobody up.
    (killed / "lock").write_text("4194999\n")
    assert resume(killed).steps == 9
    assert not (killed / "lock").exists()


def test_a_full_disk_says_what_is_saved(
    base: FinetuneConfig, unbroken: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = dataclasses.replace(broken_off(base), output=tmp_path / "run")
    append = LogWriter.append

    def full(self: LogWriter, scalars: np.ndarray) -> None:
        if self.steps == 4:
            raise OSError(28, "No space left on device")
        append(self, scalars)

    monkeypatch.setattr(LogWriter, "append", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        finetune(config)
    assert "--resume" in error.value.__notes__[0]
    monkeypatch.undo()
    assert weights(resume(tmp_path / "run").model_folder) == weights(unbroken.model_folder)


def test_a_checkpoint_that_cannot_be_written_is_an_error(base: FinetuneConfig, tmp_path: Path):
    class Blocker(Observer):
        def ticked(self, tick: Tick) -> None:
            if tick.step == 2:
                (tmp_path / "run" / "checkpoints").touch()

    config = dataclasses.replace(base, steps=8, output=tmp_path / "run")
    with pytest.raises(OSError, match=r"a checkpoint could not be written.*no earlier one exists"):
        finetune(config, Blocker())


@pytest.mark.parametrize("optimizer", ["mezo", "sgd"])
def test_steps_that_are_not_finite_are_skipped_and_counted(
    optimizer: Any, base: FinetuneConfig, tmp_path: Path
):
    hyper = HyperParameters(learning_rate=1e30)
    config = dataclasses.replace(
        base, optimizer=optimizer, hyper=hyper, non_finite="skip", output=tmp_path / "run"
    )
    result = finetune(config)
    run = result.folder
    assert (result.steps, result.skipped) == (6, 5)
    # The first step is one of finite losses, and the mean of the first line is its loss.
    found = [[line.get(name) for name in ("step", "skipped", "left_out")] for line in lines(run)]
    assert found == [[0, None, None], [2, 1, 1], [3, 2, 1], [4, 3, 1], [6, 5, 2]]
    assert [line["step"] for line in lines(run) if "loss" in line] == [2]
    for leaf in jax.tree.leaves(zojax.lm.models.load(result.model_folder).params):
        assert np.isfinite(leaf).all()


@pytest.mark.slow
def test_an_adapter_is_replayed_beside_its_model(
    base: FinetuneConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = dataclasses.replace(
        base, tuned=AdapterConfig("prefix", length=2), output=tmp_path / "run"
    )
    result = finetune(config)
    found = replay_run(config.model, result.folder, tmp_path / "again")
    command = ["replay", config.model, str(result.folder)]
    assert main([*command, f"--output={tmp_path}/one", "--until=1"]) == 0
    assert "replayed   1 steps in" in capsys.readouterr().out
    assert weights(tmp_path / "one") != weights(found.folder)
    assert weights(found.folder) == weights(result.model_folder)
    with pytest.raises(FileExistsError, match="output must be a new or empty folder"):
        replay_run(config.model, result.folder, tmp_path / "again")
