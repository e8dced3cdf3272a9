"""Models in packages of PyPI: where their files are, and the real ones where installed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from gguf_files import MODELS, write_gguf

import zojax.lm.models
from zojax.lm.models import _packages

pytest.importorskip("torch", reason="needs torch, which writes the tiny models")


@pytest.fixture
def install(write_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``(name) -> the packages' folders``: install packages with parts of a tiny GGUF file."""

    def install(name: str) -> list[Path]:
        architecture = "gemma3" if name.startswith("gemma") else "llama"
        family, sizes = MODELS[architecture]
        _, model = write_model(family, **sizes)
        write_gguf(tmp_path / "whole.gguf", architecture, model)
        content = (tmp_path / "whole.gguf").read_bytes()
        package = _packages.PACKAGES[name]
        size = -(-len(content) // len(package.modules))
        folders: list[Path] = []
        for i, module in enumerate(package.modules):
            file = tmp_path / "site" / module / package.pattern.replace("*", str(i))
            file.parent.mkdir(parents=True)
            file.write_bytes(content[i * size : (i + 1) * size])
            folders.append(tmp_path / "site" / module)
            (folders[-1] / "__init__.py").write_text("raise RuntimeError('executed')")
        monkeypatch.syspath_prepend(tmp_path / "site")
        return folders

    return install


packages = pytest.mark.parametrize("name", _packages.PACKAGES)


@packages
def test_parts_are_joined_and_not_executed(install: Any, name: str, tmp_path: Path):
    install(name)
    model = zojax.lm.models.load(name)
    whole = zojax.lm.models.load(tmp_path / "whole.gguf")
    jax.tree.map(np.testing.assert_array_equal, model.params, whole.params)
    assert not {*_packages.PACKAGES[name].modules} & {*sys.modules}


@packages
def test_a_missing_package_is_named_with_the_command(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zojax.lm.models._packages.find_spec", lambda name: None)
    package = _packages.PACKAGES[name]
    module = package.modules[0].replace("_", "-")
    with pytest.raises(ImportError, match=f"^load: {name} needs the package {module}, ") as caught:
        zojax.lm.models.load(name)
    assert package.install in str(caught.value)


@packages
def test_a_package_without_its_part_is_refused(install: Any, name: str):
    folder = install(name)[-1]
    for file in folder.rglob("*.gguf*"):
        file.unlink()
    with pytest.raises(FileNotFoundError, match=r"must have one file .*gguf.*, got 0 in"):
        zojax.lm.models.load(name)


@packages
def test_a_folder_of_that_name_goes_first(
    name: str, tiny_opt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / name).symlink_to(tiny_opt)
    monkeypatch.chdir(tmp_path)
    assert zojax.lm.models.load(name).config.model_type == "opt"
