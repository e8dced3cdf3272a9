"""What pages show of the results is what the command makes of them."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from documents import PAGES, ROOT, read

pytestmark = pytest.mark.quick


def made_by(name: str) -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs"))
        return importlib.import_module(name)


def test_pages_and_figures_are_as_the_command_makes_them():
    command = [sys.executable, "docs/make.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), (
        f"{done.stdout}{done.stderr}Run python docs/make.py, and commit what it writes."
    )


def test_a_page_that_differs_is_found_and_made_anew():
    pages = made_by("_make.pages")
    page = read("docs/choose.md")
    assert pages.made(page, ROOT / "docs") == page
    # A figure that was altered by hand, in a table and in a sentence.
    for right in ("| mezo | 2 |", "-0.4 ± 0.3<!--/-->"):
        assert right in page
        assert (
            pages.made(page.replace(right, right.replace("2", "7").replace("3", "7")), ROOT) == page
        )


def test_a_fence_becomes_a_table_that_a_code_host_shows():
    text = made_by("_make.pages").made("```{benchmark-results} digits.json\n```\n", ROOT)
    assert text.startswith("<!-- results: digits.json -->\n\n**scikit-learn's digits")
    assert "\n| mezo | 2000 |" in text
    assert text.endswith("<!-- /made -->\n")


def test_a_result_that_is_not_there_yet_is_named():
    text = made_by("_make.pages").made("<!-- results: none.json -->\n<!-- /made -->\n", ROOT)
    assert "No file `benchmarks/results/none.json` has been recorded yet." in text


def test_notebooks_have_a_badge_for_colab_once_the_project_has_an_address(
    monkeypatch: pytest.MonkeyPatch,
):
    notebooks, badges = made_by("_make.notebooks"), made_by("_make.badges")
    known, address = badges.project(), "https://github.com/some/body/"
    monkeypatch.setattr(badges, "project", lambda: {**known, "urls": {"Repository": address}})
    lines = notebooks.notebooks()
    assert "open-in" in badges.badges()
    for path in notebooks.NOTEBOOKS:
        assert (ROOT / path).is_file()
        where = f"https://colab.research.google.com/github/some/body/blob/main/{path}"
        assert any(f"badge-open-in.svg)]({where})" in line for line in lines)
    address = "https://elsewhere.org/some/body"
    assert "Upload notebook" in notebooks.notebooks()[-1]
    assert "open-in" not in badges.badges()


def test_a_number_at_the_beginning_of_a_line_is_refused():
    # A comment there would end the paragraph.
    with pytest.raises(ValueError, match="begins a line"):
        made_by("_make.pages").made("a\n<!--of minutes of the main job-->1<!--/-->", ROOT)


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        ({"rows": [{"a": 1}]}, "a title and rows"),
        ({"title": "t", "rows": []}, "a title and rows"),
        ({"title": "t", "rows": [{"a": 1}, {"b": 1}]}, "the same keys"),
    ],
)
def test_a_file_that_is_no_result_is_refused(
    result: object, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    results = made_by("_make.results")
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    (tmp_path / "x.json").write_text(json.dumps(result))
    with pytest.raises(ValueError, match=problem):
        results.read("x.json")


def test_a_row_must_be_one():
    results = made_by("_make.results")
    assert results.row("main_job.json", "label words, a constant rate")["forward passes"] == 2000
    for start in ("label", "nothing"):
        with pytest.raises(ValueError, match="one row must begin with"):
            results.row("main_job.json", start)


def test_a_chart_is_the_same_text_every_time_and_has_its_points():
    svg = made_by("_make.svg")
    chart = svg.Chart(
        "t <", "x", "y", {"a": [(0.0, 1.0), (1.0, 10.0)], "b": [(0.0, 10.0)]}, log=True
    )
    assert chart.svg() == chart.svg()
    assert chart.svg().count("<circle") == 3
    assert "t &lt;" in chart.svg()
    # Labels of lines that end at the same height do not overlap.
    heights = re.findall(r'y="([\d.]+)" text-anchor="start"[^>]*>[ab]<', chart.svg())
    assert abs(float(heights[0]) - float(heights[1])) >= svg.LABEL_HEIGHT


def test_the_reward_of_the_readme_gives_its_texts_the_scores_that_it_says():
    [code] = [
        c
        for c in re.findall(r"```python\n(.*?)```", read("README.md"), re.DOTALL)
        if "def reward" in c
    ]
    names: dict[str, Any] = {}
    exec(code, names)
    run = made_by("_make.tables")._rewarded()
    assert [names["reward"](text, {}) for text in run["before"]] == [run["start"]] * 2
    assert [names["reward"](text, {}) for text in run["after"]] == [run["test"]] * 2


def test_texts_of_models_keep_their_backticks_and_stay_in_one_line():
    as_code = made_by("_make.tables")._as_code
    assert as_code("a\n b") == "`a b`"
    assert as_code("```json\n{}\n```") == "```` ```json {} ``` ````"


def test_no_result_names_a_folder_of_the_machine_that_made_it():
    for path in (ROOT / "benchmarks" / "results").glob("*.json"):
        command = json.loads(path.read_text(encoding="utf-8")).get("command", "")
        assert command.startswith("python benchmarks/"), path.name


def test_every_result_is_in_the_index():
    index = read("docs/results.md")
    for path in (ROOT / "benchmarks" / "results").glob("*.json"):
        assert index.count(f"| `{path.name}` |") == 1
        assert any(f"<!-- results: {path.name} -->" in read(page) for page in PAGES) or (
            f"**{json.loads(path.read_text(encoding='utf-8'))['title']}**" in index
        )


# Not measured: versions, names of models and of articles.
NAMES = re.compile(r"(?:arXiv|doi):[\d./]+|\d\.\d[BM]\b|Llama 3\.2|Apache-2\.0|3\.11|Flax is 4\.57")


@pytest.mark.parametrize(
    "page", ["README.md", "docs/choose.md", *(p for p in PAGES if p.startswith("docs/tutorials/"))]
)
def test_measured_numbers_of_the_first_pages_are_made(page: str):
    text = re.sub(r"<!-- (?:table|results).*?<!-- /made -->", "", read(page), flags=re.DOTALL)
    text = re.sub(r"<!--of .*?<!--/-->", "", text, flags=re.DOTALL)
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", text, flags=re.DOTALL)
    text = NAMES.sub("", text)
    assert re.findall(r"[\d,]*\d\.\d\d*(?!e)|\d+ GB|\d+ MB", text) == []
