"""Rewards in processes of their own: whatever they do, each completion gets a score or a reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from zojax.lm.rewards import RewardError, RewardPool, read_reward

ROW = {"worth": 1.5}


@pytest.fixture(scope="module")
def pool(rewards: Path) -> Iterator[RewardPool]:
    source = read_reward("finetune", f"{rewards}:reward")
    with RewardPool("finetune", source, seconds=1.0, processes=2) as pool:
        yield pool


def test_whatever_a_reward_does_is_a_score_or_a_reason(pool: RewardPool):
    expected = {
        "good": (3.0, ""),
        "true": (1.0, ""),
        "numpy": (0.5, ""),
        "raises": (None, "ValueError: no such judge (rewards.py, line "),
        "exits": (None, "SystemExit: 3"),
        "hangs": (None, "took longer than 1 s"),
        "loops": (None, "took longer than 1 s"),
        "starts": (None, "took longer than 1 s"),
        "dies": (None, "its process ended with exit status 7"),
        "is killed": (None, "its process was ended by SIGKILL"),
        "meddles": (None, "its process was ended by SIGKILL"),
        "reads": (None, "EOFError"),
        "nan": (None, "returned nan, and must return a finite number"),
        "infinity": (None, "returned inf, and must return a finite number"),
        "string": (None, "returned str '1.0', and must return a number"),
        "vector": (None, "returned list [1.0, 2.0], and must return a number"),
        "array": (None, "returned ndarray array([1.]), and must return a number"),
        "nothing": (None, "returned NoneType None, and must return a number"),
        "complex": (None, "returned complex 1j, and must return a number"),
        "good again": (3.0, ""),
    }
    begin = time.monotonic()
    found = pool.score([*expected], [ROW] * len(expected))
    assert time.monotonic() - begin < 20
    for (text, (value, problem)), score in zip(expected.items(), found, strict=True):
        assert score.value == value, text
        assert score.problem.startswith(problem), text
        assert bool(score.problem) == (value is None), text


def test_scores_keep_the_order_of_completions(pool: RewardPool):
    rows = [{"worth": i} for i in range(100)]
    assert [score.value for score in pool.score(["x"] * 100, rows)] == [2.0 * i for i in range(100)]
    assert pool.score([], []) == []


def test_what_a_killed_process_has_started_is_killed_too(pool: RewardPool):
    """A reward that runs a program, such as a test, must not leave it behind."""
    [score] = pool.score(["starts"], [ROW])
    assert score.value is None
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    sleeping = [line for line in listed.stdout.splitlines() if "time.sleep(600)" in line]
    assert not [line for line in sleeping if line.startswith(sys.executable)]


def test_a_function_of_lists_gets_all_of_them_at_once(rewards: Path):
    source = read_reward("finetune", f"{rewards}:many")
    with RewardPool("finetune", source, seconds=0.2, processes=4) as pool:

        def score(*texts: str) -> list[tuple[float | None, str]]:
            found = pool.score(texts, [ROW] * len(texts))
            return [(each.value, each.problem) for each in found]

        assert score("a", "b", "c") == [(3.0, "")] * 3
        one, other = score("a", "nan")
        assert one == (2.0, "")
        assert other == (None, "returned nan, and must return a finite number")
        wrong = "returned 1 numbers, and must return 2, one for each completion"
        assert score("short", "b") == [(None, wrong)] * 2
        wrong = "returned str 'no list', and must return a list of 2 numbers"
        assert score("string", "b") == [(None, wrong)] * 2
        [(_, problem)] = score("raises")
        assert problem.startswith("KeyError: 'all' (rewards.py, line ")
        # The limit is that of a completion, for each of them.
        begin = time.monotonic()
        assert score(*["hangs"] * 5) == [(None, "took longer than 0.2 s")] * 5
        assert 1.0 <= time.monotonic() - begin < 5.0
        assert score("a") == [(1.0, "")]


@pytest.mark.quick
def test_several_processes_share_the_work(rewards: Path):
    source = read_reward("finetune", f"{rewards}:process")
    with RewardPool("finetune", source, seconds=5.0, processes=3) as pool:
        until = time.monotonic() + 60.0
        found: set[float | None] = set()
        while len(found) < 3 and time.monotonic() < until:  # two of them are still loading at first
            found = {score.value for score in pool.score(["x"] * 60, [ROW] * 60)}
        assert len(found) == 3
        assert os.getpid() not in found


@pytest.mark.quick
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("def reward(c, row):\n    return 1\n\nraise OSError('no judge')\n", "OSError: no judge"),
        ("import sys\ndef reward(c, row): ...\nsys.exit(2)\n", "SystemExit: 2"),
        ("import os\ndef reward(c, row): ...\nos._exit(4)\n", "ended with exit status 4"),
        ("import no_such_package\ndef reward(c, row): ...\n", "No module named 'no_such_package'"),
        ("reward = 3\n", "TypeError"),
    ],
)
def test_a_reward_that_cannot_be_loaded_is_refused(tmp_path: Path, content: str, message: str):
    path = tmp_path / "mine.py"
    path.write_text(content)
    source = read_reward("finetune", f"{path}:reward")
    with pytest.raises(RewardError, match=f"finetune: reward reward of .*mine.py must .*{message}"):
        RewardPool("finetune", source, seconds=1.0)


def test_processes_end_with_the_program_that_asks(rewards: Path, tmp_path: Path):
    """One that is killed while a reward hangs leaves no process behind."""
    program = (
        "import sys\n"
        "from zojax.lm.rewards import RewardPool, read_reward\n"
        f"source = read_reward('finetune', {str(rewards)!r} + ':reward')\n"
        "pool = RewardPool('finetune', source, seconds=600.0, processes=1)\n"
        "[process] = pool._busy\n"
        "print(process._process.pid, flush=True)\n"
        "pool.score(['hangs'], [{}])\n"
    )
    running = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    worker = int(running.stdout.readline())
    time.sleep(0.5)
    running.kill()
    running.wait()
    running.stdout.close()
    for _ in range(100):
        status = Path(f"/proc/{worker}/stat")
        if not status.exists() or status.read_text().split()[2] == "Z":
            break
        time.sleep(0.1)
    else:
        pytest.fail("the process is still there")


@pytest.mark.quick
def test_the_process_imports_nothing_but_the_standard_library():
    """It is there in a moment, and no accelerator is taken."""
    path = Path(read_reward("x", "words:3").path or "")
    program = (
        "import sys; sys.argv = ['x']\n"
        f"sys.path.insert(0, {str(path.parent)!r})\n"
        "import _worker, _functions\n"
        "import json; print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True
    )
    found = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert found - {"_worker", "_functions", "__main__"} <= {*sys.stdlib_module_names}
