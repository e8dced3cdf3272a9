"""The largest model that fits."""

from functools import partial

import pytest

from zojax import planning
from zojax.lm import models
from zojax.planning import _largest


@pytest.fixture
def works(configs):
    """Functions that make the models of ``configs``."""

    def of(*places, dtype="bfloat16"):
        names = [configs[place] for place in places]
        return [partial(models.workload, n, batch=1, length=8, dtype=dtype) for n in names]

    return of


@pytest.fixture
def planned(monkeypatch, configs):
    """Plans that cost no compilation: the two smallest fit. Gives what was asked for."""
    asked: list[str] = []

    class Found:
        def __init__(self, fits):
            self.fits = fits

        def to_dict(self):
            return {"fits": self.fits}

    def plan(work, optimizer, device, **_):
        asked.append(work.name)
        if device.startswith("tpu") and work.name == configs[2]:
            raise planning.DoesNotFitError("refused")
        return Found(work.name in configs[:2])

    monkeypatch.setattr(_largest, "plan", plan)
    return asked


@pytest.mark.plan
def test_it_goes_down_from_the_largest(planned, configs, works):
    def never():
        raise AssertionError("a smaller model is not made")

    found = planning.largest([never, *works(1, 2)], "mezo")
    assert planned == [configs[2], configs[1]]
    assert (found.model, found.next_model) == (configs[1], configs[2])
    assert found.plan.fits
    assert not found.next_plan.fits


@pytest.mark.plan
def test_what_cannot_fit_is_not_compiled(planned, configs, works):
    # Three times 13 billion parameters of 4 bytes are two cards' memory.
    found = planning.largest(works(0, 3, dtype="float32"), "adam")
    assert planned == [configs[0]]
    assert (found.model, found.next_model, found.next_plan) == (configs[0], configs[3], None)
    # Cut in two they may: then the compiler has to say.
    planning.largest(works(3, dtype="float32"), "adam", devices=2)
    assert planned == [configs[0], configs[3]]


@pytest.mark.plan
def test_what_the_compiler_refuses_does_not_fit(planned, configs, works):
    found = planning.largest(works(1, 2), "inference", "tpu-v5e")
    assert planned == [configs[2], configs[1]]
    assert (found.model, found.next_model, found.next_plan) == (configs[1], configs[2], None)


@pytest.mark.plan
def test_nothing_fits(planned, works):
    found = planning.largest(works(2), "mezo")
    assert found.model is None
    assert found.to_dict()["largest"] is None
    assert found.to_dict()["next_plan"] == {"fits": False}


def test_what_is_unknown_is_refused():
    with pytest.raises(ValueError, match="largest: device must be one of a100-80gb"):
        planning.largest([], "mezo", "a200")
    with pytest.raises(
        ValueError, match=r"largest: optimizer must be one of zo_adamu, .* got 'lion'"
    ):
        planning.largest([], "lion")
