"""What is written, and what is never written over."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zojax import gallery
from zojax.cli import main

pytestmark = pytest.mark.usefixtures("standard_promotion")


@pytest.fixture(autouse=True)
def few_frames(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zojax.gallery._animation._FRAMES", 6)


PICTURES = ["trajectories.png", "curves.png", "animation.gif"]
COMMAND = ["gallery", "--functions", "absolute", "beale", "--optimizers", "adam", "mezo"]
SMALL = ["--steps", "10", "--seeds", "2"]


@pytest.mark.slow
def test_the_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "new" / "pictures"
    command = [*COMMAND, *SMALL, f"--out={folder}"]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert "2/4 absolute, mezo ..." in printed.err
    assert {path.name for path in folder.iterdir()} == {*PICTURES, "results.json"}

    results = json.loads((folder / "results.json").read_text())
    assert results["command"] == " ".join(["zojax", *command])
    assert (results["steps"], results["forward_passes"], results["seeds"]) == (10, 20, 2)
    assert {"zojax", "jax", "optax"} < results["versions"].keys()
    pairs = [(row["function"], row["optimizer"]) for row in results["rows"]]
    assert pairs == [(f, o) for f in ("absolute", "beale") for o in ("adam", "mezo")]
    for row in results["rows"]:
        assert f"{row['final value, median']:.2e}" in printed.out

    # Before any work, and nothing is written over.
    assert main([*COMMAND, f"--out={folder}"]) == 1
    printed = capsys.readouterr()
    assert f"there is a gallery in {folder}" in printed.err
    assert "..." not in printed.err
    assert json.loads((folder / "results.json").read_text()) == results
    assert (
        main([*COMMAND[:4], "--optimizers", "sgd", *SMALL, f"--out={folder}", "--overwrite"]) == 0
    )
    rows = json.loads((folder / "results.json").read_text())["rows"]
    assert {row["optimizer"] for row in rows} == {"sgd"}


def test_a_folder_with_other_files_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert main([*COMMAND, f"--out={tmp_path}", "--overwrite"]) == 1
    assert "must be a new or empty folder" in capsys.readouterr().err
    assert main([*COMMAND, f"--out={tmp_path / 'thesis.tex'}", "--overwrite"]) == 1
    assert "must be a folder, got the file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_unknown_names_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["gallery", "--functions", "bale", f"--out={tmp_path / 'x'}"]) == 2
    assert "Did you mean beale?" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("module", "package"), [("matplotlib", "matplotlib"), ("PIL", "pillow")])
def test_a_missing_package_is_told_before_the_work(
    module: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == module else find(name)
    )
    with pytest.raises(ImportError, match=rf'{package} is missing: pip install "zojax\[demo\]"'):
        gallery.check_folder(tmp_path / "new")


@pytest.mark.slow
def test_the_pictures_show_the_runs(tmp_path: Path):
    found = gallery.run(["beale"], ["adam", "mezo"], steps=10, seeds=2)
    paths = gallery.draw(found, tmp_path)
    assert [path.name for path in paths] == PICTURES
    for path in paths[:2]:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"), np.int32).reshape(-1, 3)
        # Red and orange, of the first and the second optimizer, as far as the palette has them.
        for colour in ((214, 39, 40), (255, 127, 14)):
            assert (np.abs(pixels - colour).sum(axis=1) < 30).any()
    with Image.open(paths[2]) as animation:
        assert animation.n_frames > 3
        assert animation.info["loop"] == 0
    # Python's way to draw again.
    assert gallery.draw(found, tmp_path, overwrite=True) == paths
    with pytest.raises(FileExistsError, match="there is a gallery"):
        gallery.draw(found, tmp_path)
