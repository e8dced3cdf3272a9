"""What a run goes on from: its log, its checkpoints, its metrics."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fuzzing.judge import Target
from fuzzing.mutations import as_json_lines
from zojax.lm.training import FinetuneConfig
from zojax.lm.training._checkpoints import Checkpoints
from zojax.lm.training._run_folder import RunFolder
from zojax.trajectory import Field, Header, LogWriter, key_parts, read_log

_STRIDE = 2 * 4 + 2  # two slopes and a checksum
_STEPS = 40


def log() -> Target:
    """Whatever is taken is the run, to the bit, up to the step where the file ends."""
    return _log(cut=False)


def torn_log() -> Target:
    """The same where the last record may be torn, as it is read by a run that goes on."""
    return _log(cut=True)


def _log(*, cut: bool) -> Target:
    key, key_impl = key_parts(jax.random.key(7))
    header = Header(
        optimizer="mezo",
        settings={"steps": _STEPS, "hyper": {"eps": 1e-3}},
        key=key,
        key_impl=key_impl,
        base="ab" * 32,
        data_seed=7,
        fields=(Field("slopes", 2),),
    )
    scalars = np.random.default_rng(0).normal(size=(_STEPS, 2)).astype(np.float32)
    scalars[3] = np.nan  # a step that was skipped
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trajectory.log"
        writer = LogWriter(path, header)
        for row in scalars:
            writer.append(row)
        writer.close()
        content = path.read_bytes()
    start = len(content) - _STEPS * _STRIDE

    def read(folder: Path) -> Any:
        found = read_log(folder / "trajectory.log", cut=cut)
        return found.header, found.scalars.tobytes(), found.size

    def expect(files: Mapping[str, bytes]) -> Any:
        data = files["trajectory.log"]
        same = next((i for i, (a, b) in enumerate(zip(data, content, strict=False)) if a != b), 0)
        same = same or min(len(data), len(content))
        steps = (same - start) // _STRIDE
        end = start + steps * _STRIDE
        # What a crash leaves is less than a record; one whole record that is wrong passes for it.
        if steps < 0 or len(data) - end > (_STRIDE if cut else 0):
            raise ValueError
        return header, scalars[:steps].tobytes(), end

    return Target({"trajectory.log": content}, read, expect)


def checkpoint() -> Target:
    """All files of one checkpoint: it is taken as it was saved, to the bit, or not at all."""
    tree = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.int32(5)}
    tree = jax.tree.map(jax.numpy.asarray, tree)
    note = {"run": "ab" * 32, "best_step": 2, "best_dev": [0.5, 0.7, 9], "skipped": 1}
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder) / "checkpoints")
        checkpoints.save(3, tree, note, keep=[])
        checkpoints.wait()
        checkpoints.close()
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(Path(folder).rglob("*"))
            if path.is_file()
        }

    def bits(found: Any, note: dict[str, Any]) -> Any:
        leaves = [(x.dtype, x.shape, np.asarray(x).tobytes()) for x in jax.tree.leaves(found)]
        return leaves, dict(sorted(note.items()))

    def read(folder: Path) -> Any:
        checkpoints = Checkpoints(folder / "checkpoints")
        try:
            return bits(*checkpoints.restore(3, tree))
        finally:
            checkpoints.close()

    return Target(files, read, lambda _: bits(tree, note), share=0.2)


def metrics() -> Target:
    """Lines that are no records of numbers are left out: a crash may tear one."""
    rows: list[dict[str, Any]] = [{"step": 0, "dev_accuracy": 0.5, "dev_loss": 0.7}]
    rows += [{"step": i, "loss": 0.7 - i / 99, "seconds": i / 10} for i in range(10, 60, 10)]
    with tempfile.TemporaryDirectory() as folder:
        RunFolder(Path(folder), FinetuneConfig())
        config = (Path(folder) / "config.json").read_bytes()

    def read(folder: Path) -> Any:
        run = RunFolder(folder, FinetuneConfig(), resume=True)
        run.keep_metrics(lambda step: step <= 30)
        return run.read_metrics()

    def expect(files: Mapping[str, bytes]) -> Any:
        found: list[Any] = []
        for line in files["metrics.jsonl"].decode(errors="replace").splitlines():
            try:
                record = json.loads(line)
                kinds = {type(value) for value in record.values()}
                large = any(type(value) is int and abs(value) >= 2**62 for value in record.values())
            except (ValueError, AttributeError, RecursionError):
                continue
            sound = kinds <= {int, float, type(None)} and not large
            if sound and type(record.get("step")) is int:
                found += [record] * (record["step"] <= 30)
        return sorted(found, key=lambda record: record["step"])

    return Target(
        {"config.json": config, "metrics.jsonl": as_json_lines(rows)},
        read,
        expect,
        {"metrics.jsonl": (rows, as_json_lines)},
        spared=("config.json",),
    )
