"""Plans: figures from compiled programs, and what becomes of them."""

import dataclasses
import json

import jax
import pytest
from opt_config import write_config

from zojax import planning
from zojax.cli import _plan as _cli_plan
from zojax.planning import _plan, _program

SIZES = {"batch": 16, "length": 128}


@pytest.fixture(scope="module")
def found(config):
    """ZO-AdaMU of a small model of 3 layers, continued from 1 and 2."""
    with pytest.MonkeyPatch.context() as patch, jax.numpy_dtype_promotion("standard"):
        # As for a deep model, at a price that a test can pay.
        patch.setattr(_plan, "_WHOLE", 2)
        patch.setattr(_plan, "_DEPTHS", (1, 2))
        return planning.plan(config, "zo_adamu", **SIZES)


def compiled(layers):
    """A program whose every figure grows with its layers, but starts elsewhere."""
    collectives = {"all-reduce": planning.Collective(layers, 8 * layers)}
    if layers > 2:
        collectives["all-gather"] = planning.Collective(2 * layers - 4, 16 * layers - 32)
    cost = planning.Cost(100.0 + 7 * layers, 50.0 + 3 * layers, collectives, 0)
    return _program.Compiled(planning.Memory(9 + layers, 5, 4, 1000 + 10 * layers), cost, 1.0)


@pytest.mark.quick
def test_two_depths_make_a_line():
    line = _program.continued(compiled(2), compiled(4), (2, 4), 40)
    assert line == compiled(40)._replace(seconds=2.0)


@pytest.mark.plan
@pytest.mark.parametrize(
    ("optimizer", "full", "depths"),
    [("mezo", False, [6, 2, 4]), ("mezo", True, [6, 6]), ("sgd", False, [6, 6])],
)
def test_deep_zeroth_order_steps_are_compiled_at_two_depths(
    tmp_path, monkeypatch, optimizer, full, depths
):
    path = write_config(tmp_path, num_hidden_layers=6)
    told: list[str] = []
    monkeypatch.setattr(_plan, "compile_program", lambda _, work, __: compiled(work.layers))
    found = planning.plan(path, optimizer, **SIZES, full=full, tell=told.append)
    assert told[0] == "compiling the forward pass, 6 layers"
    assert [int(line.split()[-2]) for line in told] == depths
    assert found.step.compiled_layers == tuple(depths[1:])
    assert found.extrapolated == (len(depths) == 3)
    assert found.total_bytes == compiled(6).memory.device


@pytest.mark.plan
def test_a_step_has_the_operations_of_two_forward_passes(found):
    # The noise makes up the rest: its cost does not depend on the tokens, and these are few.
    assert 2 < found.step.flops / found.forward.flops < 2.3


@pytest.mark.plan
def test_memory_is_parameters_momentum_and_temporaries(found):
    assert found.layers == 3
    assert found.parameter_bytes == 2 * found.parameters
    scalars = 64
    assert 0 <= found.state_bytes - found.parameter_bytes < scalars
    parts = found.parameter_bytes + found.state_bytes + found.temporary_bytes
    assert found.total_bytes == parts == found.step.memory.device
    assert found.fits
    assert found.free_bytes == found.device.memory - found.total_bytes


@pytest.mark.plan
def test_the_roofline_is_the_larger_of_compute_and_traffic(found):
    for program in (found.forward, found.step):
        compute, traffic = program.flops / 312e12, program.bytes_accessed / 2039e9
        assert program.seconds == max(compute, traffic)


@pytest.mark.plan
def test_a_plan_is_plain_json(found):
    content = json.loads(json.dumps(found.to_dict()))
    assert content["device"] == "a100-80gb"
    assert content["fits"] is True
    assert content["total_bytes"] == found.total_bytes
    assert content["step"]["compiled_layers"] == [1, 2]
    assert content["step"]["flops"] == found.step.flops
    assert content["forward"]["collectives"] == {}


@pytest.mark.plan
def test_the_report_says_what_was_found_and_what_cannot_be(found):
    text = str(found)
    assert f"fits, {found.free_bytes / 1e9:.2f} GB left" in text
    assert "compiled with 1 and with 2 layers" in text
    assert "fragmentation" in text
    assert "autotuning" in text
    whole = dataclasses.replace(
        found,
        step=dataclasses.replace(found.step, compiled_layers=(3,)),
        device=dataclasses.replace(found.device, memory=found.total_bytes - 2_000_000),
    )
    assert "compiled with" not in str(whole)
    assert "does not fit, 2.0 MB too much" in str(whole)


@pytest.mark.plan
def test_the_chart_is_drawn(found, tmp_path):
    path = tmp_path / "plan.png"
    found.chart(path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.plan
def test_adam_keeps_two_moments_and_inference_nothing(config):
    adam = planning.plan(config, "adam", batch=2, length=16, dtype="float32")
    assert adam.state_bytes == 2 * adam.parameter_bytes + 4
    assert adam.step.compiled_layers == (3,)
    assert adam.step.flops > 2.5 * adam.forward.flops  # the backward pass is two more
    inference = planning.plan(config, "inference", batch=2, length=16, dtype="float32")
    assert inference.state_bytes == 0
    assert inference.step == inference.forward
    assert inference.forward.flops == adam.forward.flops


@pytest.mark.plan
def test_several_devices_share_the_model(config):
    one = planning.plan(config, "inference", batch=2, length=16)
    four = planning.plan(config, "inference", devices=4, batch=2, length=16)
    assert four.parameter_bytes < one.parameter_bytes / 3
    assert four.forward.flops < one.forward.flops / 3
    assert sum(found.bytes for found in four.forward.collectives.values()) > 0
    assert "on 4 × a100-80gb" in str(four)
    assert "all-" in str(four)


@pytest.mark.plan
def test_a_mesh_has_named_axes(config):
    mesh = {"data": 2, "model": 2}
    found = planning.plan(config, "inference", mesh=mesh, batch=2, length=16, shallow=True)
    assert found.devices == 4
    assert found.to_dict()["mesh"] == mesh
    assert "on 4 × a100-80gb (data=2, model=2)" in str(found)
    assert found.forward.communication_seconds == found.forward.sent_bytes / 300e9 > 0
    with pytest.raises(ValueError, match="devices must not be given with mesh"):
        planning.plan(config, "inference", devices=2, mesh=mesh)


def test_the_command_line_names_a_mesh():
    assert _cli_plan._axes("data=2,model=4") == {"data": 2, "model": 4}
    for text in ("data", "data=two", "data=2,data=4", ""):
        with pytest.raises(ValueError, match="mesh must name axes once and their sizes"):
            _cli_plan._axes(text)


@pytest.mark.plan
def test_a_chip_is_planned_for(config):
    found = planning.plan(config, "inference", "tpu-v5e", batch=2, length=16)
    assert found.parameter_bytes == 2 * found.parameters
    work = 2 * found.parameters * 2 * 16
    assert 0.5 * work < found.forward.flops < 2 * work


@pytest.mark.plan
def test_a_program_that_the_compiler_refuses_is_told(configs):
    with pytest.raises(planning.DoesNotFitError, match="exceeds available HBM"):
        planning.plan(configs[3], "inference", "tpu-v5e", batch=1, length=8)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "a200"}, r"plan: device must be one of a100-80gb, .*, got 'a200'"),
        ({"optimizer": "lion"}, r"plan: optimizer must be one of zo_adamu, .*, got 'lion'"),
        ({"device": "v100-32gb"}, r"dtype must be one of float16, float32 on v100-32gb, got 'bf"),
        ({"dtype": "int8"}, r"dtype must be one of bfloat16, float16, float32 on a100-80gb, got"),
    ],
)
def test_bad_arguments_are_refused(config, arguments, message):
    with pytest.raises(ValueError, match=message):
        _plan.plan(config, **arguments)
