"""The launcher, with processes that are over in no time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from zojax.lm.processes import launch

ME = "import os, sys, time; me = int(os.environ['JAX_PROCESS_ID'])\n"


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", ME + textwrap.dedent(code)]


def test_each_process_is_told_who_it_is(tmp_path: Path):
    code = f"""
        names = ["COORDINATOR_ADDRESS", "NUM_PROCESSES", "PROCESS_ID", "LOCAL_DEVICE_IDS"]
        line = " ".join(os.environ["JAX_" + name] for name in names)
        open({str(tmp_path)!r} + f"/{{me}}", "w").write(line)
    """
    assert launch(python(code), 3) == 0
    told = [(tmp_path / str(i)).read_text().split() for i in range(3)]
    assert [line[1:] for line in told] == [["3", str(i), str(i)] for i in range(3)]
    addresses = {line[0] for line in told}
    assert len(addresses) == 1
    assert addresses.pop().startswith("127.0.0.1:")


def test_only_process_0_is_heard(capfd: pytest.CaptureFixture[str]):
    assert launch(python("print('out', me); print('err', me, file=sys.stderr)"), 3) == 0
    assert capfd.readouterr() == ("out 0\n", "err 0\n")


def test_the_first_to_fail_ends_all_and_is_shown_alone(capfd: pytest.CaptureFixture[str]):
    code = """
        print("here is", me, file=sys.stderr, flush=True)
        if me == 1:
            sys.exit(3)
        time.sleep(100)
    """
    start = time.monotonic()
    assert launch(python(code), 3) == 3
    assert time.monotonic() - start < 30
    assert capfd.readouterr().err == "here is 1\n"


def test_one_that_is_killed_ends_all(capfd: pytest.CaptureFixture[str]):
    code = """
        if me == 1:
            os.kill(os.getpid(), 9)
        time.sleep(100)
    """
    assert launch(python(code), 2) == 128 + 9
    assert "process 1 was ended by SIGKILL" in capfd.readouterr().err


def test_one_that_does_not_hear_is_killed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zojax.lm.processes._launch._GRACE_SECONDS", 0.5)
    code = """
        import signal
        if me == 1:
            time.sleep(1)
            sys.exit(4)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(100)
    """
    start = time.monotonic()
    assert launch(python(code), 2) == 4
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_reaches_every_process_once(number: signal.Signals, status: int, tmp_path: Path):
    child = f"""
        import signal
        def hear(number, frame):
            open({str(tmp_path)!r} + f"/{{me}}", "a").write(str(number) + " ")
            time.sleep(0.5)
            sys.exit({status})
        signal.signal({int(number)}, hear)
        open({str(tmp_path)!r} + f"/ready{{me}}", "w").write(str(os.getpgid(0)))
        time.sleep(100)
    """
    code = "import sys; from zojax.lm.processes import launch; sys.exit(launch(sys.argv[1:], 2))"
    # A group of its own, all of which a terminal would signal.
    parent = subprocess.Popen([sys.executable, "-c", code, *python(child)], start_new_session=True)
    try:
        while len(list(tmp_path.glob("ready*"))) < 2:
            assert parent.poll() is None
            time.sleep(0.05)
        # In the parent's group a terminal's signal would reach them besides ours.
        time.sleep(0.1)
        groups = {path.read_text() for path in tmp_path.glob("ready*")}
        assert str(parent.pid) not in groups
        os.killpg(parent.pid, number)
        assert parent.wait(60) == status
    finally:
        parent.kill()
    assert [(tmp_path / str(i)).read_text() for i in range(2)] == [f"{int(number)} "] * 2


@pytest.mark.quick
def test_processes_are_at_least_one():
    with pytest.raises(ValueError, match="launch: processes must be >= 1, got 0"):
        launch(["true"], 0)
