"""Figures of each class: scikit-learn's, in text, JSON and a picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from zojax.cli import main
from zojax.lm.prediction import as_text, class_figures, draw_confusion, load_run
from zojax.lm.training import Confusion, Result, evaluate_run

CONFUSION = Confusion(("no", "maybe", "yes", "never"), np.array([
    [30, 1, 2, 0],
    [4, 20, 0, 0],
    [100, 5, 3, 0],
    [0, 0, 0, 0],
]))  # fmt: skip


@pytest.mark.quick
def test_figures_are_those_of_scikit_learn():
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    places = [(i, j) for i, row in enumerate(CONFUSION.counts) for j in range(len(row))]
    true = np.repeat([i for i, _ in places], CONFUSION.counts.reshape(-1))
    predicted = np.repeat([j for _, j in places], CONFUSION.counts.reshape(-1))
    found = class_figures(CONFUSION)
    expected = precision_recall_fscore_support(true, predicted, labels=range(4), zero_division=0)
    for mine, theirs in zip(found, expected, strict=False):
        np.testing.assert_allclose(mine, theirs)
    assert found.accuracy == accuracy_score(true, predicted)


@pytest.mark.quick
def test_the_text():
    assert as_text(CONFUSION) == "\n".join([
        "class          precision  recall      F1  examples",
        "no                 22.4%   90.9%   35.9%        33",
        "maybe              76.9%   83.3%   80.0%        24",
        "yes                60.0%    2.8%    5.3%       108",
        "never               0.0%    0.0%    0.0%         0",
        "macro average      39.8%   44.3%   30.3%       165",
        "",
        "true \\ predicted   no  maybe  yes  never",
        "no                 30      1    2      0",
        "maybe               4     20    0      0",
        "yes               100      5    3      0",
        "never               0      0    0      0",
    ])  # fmt: skip


@pytest.mark.quick
@pytest.mark.parametrize("classes", [2, 40])
def test_the_picture(classes: int, tmp_path: Path):
    labels = tuple(f"class {i}" for i in range(classes))
    draw_confusion(Confusion(labels, np.eye(classes, dtype=np.int64)), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def new_rows(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of the rows, in another order, with labels that are wrong."""
    rows = [json.loads(line) for line in files["train"].read_text().splitlines()][20:31]
    for row in rows[::4]:
        row["label"] = "abysmal"
    path = tmp_path_factory.mktemp("new") / "new.jsonl"
    path.write_text("\n".join(map(json.dumps, rows[::-1])))
    return path


def test_the_confusion_is_that_of_the_predictions(run: Result, new_rows: Path):
    rows = [json.loads(line) for line in new_rows.read_text().splitlines()]
    found = evaluate_run(run.folder, data=new_rows)["tuned"]
    predicted = load_run(run.folder, which="last").predict([row["text"] for row in rows])
    labels = ("great", "terrible", "abysmal")
    expected = np.zeros((3, 3), int)
    for row, prediction in zip(rows, predicted, strict=True):
        expected[labels.index(row["label"]), labels.index(prediction.label)] += 1
    assert found.confusion.labels == labels
    np.testing.assert_array_equal(found.confusion.counts, expected)
    assert found.scores.examples == 11 == expected.sum()
    assert found.scores.accuracy == pytest.approx(np.trace(expected) / 11)
    assert 0 < np.trace(expected) < 11
    own = evaluate_run(run.folder)["tuned"]
    assert own.scores == run.tuned
    assert own.confusion.counts.sum() == 30


def test_the_command(
    run: Result, new_rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "figures"
    command = ["eval", str(run.folder), f"--data={new_rows}", f"--output={output}"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    found = evaluate_run(run.folder, data=new_rows)
    for name, evaluation in found.items():
        assert f"{name:<10} {evaluation.scores.accuracy:.1%} of 11 test examples" in printed
        assert f"\n{name}\n{as_text(evaluation.confusion)}\n" in printed
    content = json.loads((output / "evaluation.json").read_text())
    assert {*content} == {*found}
    tuned, figures = content["tuned"], class_figures(found["tuned"].confusion)
    assert tuned["accuracy"] == found["tuned"].scores.accuracy
    assert tuned["classes"]["abysmal"]["recall"] == figures.recall[2]
    assert tuned["macro"]["f1"] == pytest.approx(figures.f1.mean())
    assert tuned["confusion"]["counts"] == found["tuned"].confusion.counts.tolist()
    pictures = sorted(path.name for path in output.glob("*.png"))
    several = [f"confusion-{name}.png" for name in sorted(found)]
    assert pictures == (several if len(found) > 1 else ["confusion.png"])

    # Nothing is written over; without a name the folder is a new one in the run's.
    assert main(command) == 1
    assert f"eval: output must be a new or empty folder, got {output}" in capsys.readouterr().err
    assert main(["eval", str(run.folder)]) == 0
    (beside,) = (run.folder / "evaluations").iterdir()
    assert f"written: {beside / 'evaluation.json'}" in capsys.readouterr().out


def test_wrong_rows_are_named(run: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "a.csv").write_text("text,label\nfilm,great\nfilm,grand\n")
    output = tmp_path / "figures"
    assert (
        main(["eval", str(run.folder), f"--data={tmp_path / 'a.csv'}", f"--output={output}"]) == 1
    )
    error = capsys.readouterr().err
    assert f"{tmp_path / 'a.csv'}" in error
    assert "'grand'" in error
    assert not output.exists()
