"""A file of rewards that behave in every way."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from compiled_once import compiled_once


@pytest.fixture(scope="module", autouse=True)
def compile_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with compiled_once(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(scope="session")
def rewards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``reward`` does what the completion says; ``many`` takes lists."""
    folder = tmp_path_factory.mktemp("rewards")
    (folder / "neighbour.py").write_text("FACTOR = 2.0\n")
    path = folder / "rewards.py"
    path.write_text(
        textwrap.dedent(
            """
            import os
            import subprocess
            import sys
            import time
            from neighbour import FACTOR

            print("while it is loaded")


            def reward(completion, row):
                print("on standard output")
                os.write(1, b"on the descriptor")
                print("on standard error", file=sys.stderr)
                if completion == "raises":
                    raise ValueError("no such   judge")
                if completion == "exits":
                    sys.exit(3)
                if completion == "hangs":
                    time.sleep(600)
                if completion == "loops":
                    while True:
                        pass
                if completion == "dies":
                    os._exit(7)
                if completion == "is killed":
                    os.kill(os.getpid(), 9)
                if completion == "meddles":
                    for descriptor in range(3, 20):
                        try:
                            os.write(descriptor, b"no answer\\n")
                        except OSError:
                            pass
                if completion == "reads":
                    return len(input())
                if completion == "starts":
                    subprocess.run([sys.executable, "-c", "import time; time.sleep(600)"])
                answers = {
                    "nan": float("nan"), "infinity": float("inf"), "string": "1.0",
                    "vector": [1.0, 2.0], "nothing": None, "true": True, "complex": 1j,
                }
                if completion == "numpy":
                    import numpy
                    return numpy.float32(0.5)
                if completion == "array":
                    import numpy
                    return numpy.ones((1,))
                return answers.get(completion, FACTOR * row["worth"])


            def many(completions, rows):
                if "short" in completions:
                    return [1.0]
                if "string" in completions:
                    return "no list"
                if "hangs" in completions:
                    time.sleep(600)
                if "raises" in completions:
                    raise KeyError("all")
                return [float("nan") if text == "nan" else len(completions) for text in completions]


            def process(completion, row):
                return os.getpid()
            """
        )
    )
    return path
