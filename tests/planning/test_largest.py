"""The largest model that fits."""

import pytest

from zojax import planning
from zojax.planning import _largest


@pytest.fixture
def planned(monkeypatch, configs):
    """Plans that cost no compilation: the two smallest fit. Gives what was asked for."""
    asked: list[str] = []

    class Found:
        def __init__(self, fits):
            self.fits = fits

        def to_dict(self):
            return {"fits": self.fits}

    def plan(model, optimizer, device, **_):
        asked.append(model)
        if device.startswith("tpu") and model == configs[2]:
            raise planning.DoesNotFitError("refused")
        return Found(model in configs[:2])

    monkeypatch.setattr(_largest, "plan", plan)
    return asked


@pytest.mark.plan
def test_it_goes_down_from_the_largest(planned, configs):
    found = planning.largest("mezo", models=configs[:3], length=8)
    assert planned == [configs[2], configs[1]]
    assert (found.model, found.next_model) == (configs[1], configs[2])
    assert found.plan.fits
    assert not found.next_plan.fits


@pytest.mark.plan
def test_what_cannot_fit_is_not_compiled(planned, configs):
    # Three times 13 billion parameters of 4 bytes are two cards' memory.
    found = planning.largest("adam", models=[configs[0], configs[3]], dtype="float32", length=8)
    assert planned == [configs[0]]
    assert (found.model, found.next_model, found.next_plan) == (configs[0], configs[3], None)
    # Cut in two they may: then the compiler has to say.
    planning.largest("adam", models=[configs[3]], dtype="float32", length=8, devices=2)
    assert planned == [configs[0], configs[3]]


@pytest.mark.plan
def test_what_the_compiler_refuses_does_not_fit(planned, configs):
    found = planning.largest("inference", "tpu-v5e", models=configs[1:3], length=8)
    assert planned == [configs[2], configs[1]]
    assert (found.model, found.next_model, found.next_plan) == (configs[1], configs[2], None)


@pytest.mark.plan
def test_nothing_fits(planned, configs):
    found = planning.largest("mezo", models=[configs[2]], length=8)
    assert found.model is None
    assert found.to_dict()["largest"] is None
    assert found.to_dict()["next_plan"] == {"fits": False}


def test_an_unknown_device_is_refused():
    with pytest.raises(ValueError, match="largest: device must be one of a100-80gb"):
        planning.largest("mezo", "a200")
