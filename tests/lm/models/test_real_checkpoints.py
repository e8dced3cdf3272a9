"""The real checkpoints of benchmarks/real_checkpoints.py, beside transformers' PyTorch classes."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from zojax.lm.models import _packages

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("standard_promotion")]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("torch", reason="needs torch, whose logits are the measure")
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("real_checkpoints")


# The perplexity is that of the table in the documentation; a wrong permutation of keys and
# queries, scale of norms or window makes it several times as high.
@pytest.mark.parametrize(("name", "perplexity"), [("smollm2-135m", 32.9), ("gemma-3-270m", 26.2)])
def test_logits_and_text_are_those_of_pytorch(benchmark: Any, name: str, perplexity: float):
    try:
        _packages.files(name)
    except ImportError as error:
        pytest.skip(str(error))
    found = benchmark.compare(name)
    assert len(found.ids) > 512, "longer than Gemma's window"
    assert found.difference < 1e-3
    assert found.text == found.reference_text
    for logits in (found.logits, found.reference):
        assert benchmark.perplexity(logits, found.ids) == pytest.approx(perplexity, rel=0.01)


def test_every_model_in_a_package_is_compared(benchmark: Any):
    assert {*benchmark.MODELS} == {*_packages.PACKAGES}
