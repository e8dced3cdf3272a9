"""What checks the code: one version of each checker everywhere, and the tag of a release."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parents[1]
CONFIG = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
HOOKS = {hook["id"]: hook for repo in CONFIG["repos"] for hook in repo["hooks"]}
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CHECK_TAG = Path(".ci/check_tag.py")


def extra(name: str) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["optional-dependencies"][name]


def test_every_pin_of_pre_commit_is_one_of_the_extra_test():
    pins = {pin for hook in HOOKS.values() for pin in hook.get("additional_dependencies", ())}
    assert pins
    assert pins <= {*extra("test")}


@pytest.mark.parametrize("hook", HOOKS)
def test_what_pre_commit_runs_is_pinned_and_run_by_ci(hook: str):
    command = HOOKS[hook]["entry"]
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert any(f"{line} ".startswith(f"within all {command} ") for line in lines)
    tool = command.split()[0]
    pinned = [pin for pin in extra("test") if pin.startswith((f"{tool}==", f"{tool}["))]
    assert len(pinned) == 1
    if HOOKS[hook]["language"] != "system":
        assert HOOKS[hook]["additional_dependencies"] == pinned


# The linters read a workflow by itself, and take any name in ``needs``.
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_names_jobs_and_files_that_exist(path: Path):
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    for job in jobs.values():
        needs = job.get("needs", [])
        assert {needs} <= {*jobs} if isinstance(needs, str) else {*needs} <= {*jobs}
        commands = " ".join(step.get("run", "") for step in job.get("steps", ()))
        scripts = [word for word in commands.split() if word.startswith(".ci/")]
        called = [job["uses"].removeprefix("$/")] if "uses" in job else []
        for file in [*scripts, *called]:
            assert (ROOT / file).is_file()


@pytest.mark.parametrize(
    ("tag", "date", "problem"),
    [
        ("v1.2.3", "2026-01-31", None),
        ("1.2.3", "2026-01-31", "the tag 1.2.3 must be v1.2.3"),
        ("v1.2.4", "2026-01-31", "the tag v1.2.4 must be v1.2.3"),
        ("v1.2.3", "unreleased", "CHANGELOG.md must have a heading '## 1.2.3"),
    ],
)
def test_a_tag_is_the_version_and_the_changelog_has_its_date(
    tmp_path: Path, tag: str, date: str, problem: str | None
):
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n', encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## 1.2.3 – {date}\n", encoding="utf-8")
    script = tmp_path / CHECK_TAG
    script.parent.mkdir()
    script.write_bytes((ROOT / CHECK_TAG).read_bytes())
    done = subprocess.run(
        [sys.executable, str(script), tag], capture_output=True, text=True, check=False
    )
    assert done.returncode == (problem is not None), done.stderr
    assert (problem or "") in done.stdout


def test_read_the_docs_takes_its_file_and_builds_as_ci_does():
    pytest.importorskip("check_jsonschema", reason="needs check-jsonschema, of the extra test")
    check = ["-m", "check_jsonschema", "--builtin-schema", "vendor.readthedocs"]
    done = subprocess.run(
        [sys.executable, *check, ".readthedocs.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    found = yaml.safe_load((ROOT / ".readthedocs.yaml").read_text(encoding="utf-8"))
    assert found["sphinx"]["fail_on_warning"]
    assert (ROOT / found["sphinx"]["configuration"]).is_file()
    (install,) = found["python"]["install"]
    assert all(extra(name) for name in install["extra_requirements"])
