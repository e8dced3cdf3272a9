"""Plans: figures from compiled programs, and what becomes of them."""

import dataclasses
import json

import jax
import pytest
from opt_config import write_config

from zojax import planning
from zojax.cli import main
from zojax.lm import models
from zojax.lm.adapters import LoRA
from zojax.planning import _plan, _program

SIZES = {"batch": 16, "length": 128}


def work(config, dtype="bfloat16", batch=2, length=16):
    return models.workload(config, batch=batch, length=length, dtype=dtype)


@pytest.fixture(scope="module")
def found(config):
    """ZO-AdaMU of a small model of 3 layers, continued from 1 and 2."""
    with pytest.MonkeyPatch.context() as patch, jax.numpy_dtype_promotion("standard"):
        # As for a deep model, at a price that a test can pay.
        patch.setattr(_plan, "_WHOLE", 2)
        patch.setattr(_plan, "_DEPTHS", (1, 2))
        return planning.plan(work(config, **SIZES), "zo_adamu")


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
    sizes: set[int] = set()

    def compile_program(target, made, name, num_queries, *, model_bytes):
        sizes.add(model_bytes)
        return compiled(made.layers)

    monkeypatch.setattr(_plan, "compile_program", compile_program)
    found = planning.plan(work(path, **SIZES), optimizer, full=full, tell=told.append)
    assert told[0] == "compiling the forward pass, 6 layers"
    assert [int(line.split()[-2]) for line in told] == depths
    assert found.step.compiled_layers == tuple(depths[1:])
    assert found.extrapolated == (len(depths) == 3)
    assert found.total_bytes == compiled(6).memory.device
    assert sizes == {work(path, **SIZES).tuned_bytes}  # of the whole model, at every depth


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
    text = planning.report(found)
    assert f"fits, {found.free_bytes / 1e9:.2f} GB left" in text
    assert "compiled with 1 and with 2 layers" in text
    assert "fragmentation" in text
    assert "autotuning" in text
    whole = dataclasses.replace(
        found,
        step=dataclasses.replace(found.step, compiled_layers=(3,)),
        device=dataclasses.replace(found.device, memory=found.total_bytes - 2_000_000),
    )
    assert "compiled with" not in planning.report(whole)
    assert "does not fit, 2.0 MB too much" in planning.report(whole)


@pytest.mark.plan
def test_the_chart_is_drawn(found, tmp_path):
    path = tmp_path / "plan.png"
    planning.chart(found, path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.plan
def test_adam_keeps_two_moments_and_inference_nothing(config):
    adam = planning.plan(work(config, "float32"), "adam")
    assert adam.state_bytes == 2 * adam.parameter_bytes + 4
    assert adam.step.compiled_layers == (3,)
    assert adam.step.flops > 2.5 * adam.forward.flops  # the backward pass is two more
    inference = planning.plan(work(config, "float32"), "inference")
    assert inference.state_bytes == 0
    assert inference.step == inference.forward
    assert inference.forward.flops == adam.forward.flops


@pytest.mark.plan
def test_queries_are_counted_and_an_adapter_has_noise_and_state_alone(config):
    lora = models.workload(config, **SIZES, dtype="bfloat16", adapter=LoRA(rank=2))
    adapted = planning.plan(lora, "zo_adam", num_queries=3)
    assert adapted.parameters == lora.size > work(config).size
    scalars = 64
    assert 0 <= adapted.state_bytes - 2 * lora.tuned_bytes < scalars
    # The adapter's noise is next to nothing, unlike that of a whole model.
    assert adapted.step.flops == pytest.approx(6 * adapted.forward.flops, rel=0.05)


@pytest.mark.plan
@pytest.mark.slow
@pytest.mark.parametrize("optimizer", planning.OPTIMIZERS)
def test_every_optimizer_is_planned(config, optimizer):
    scan = optimizer != "zo_sgd_blockwise"
    small = models.workload(config, batch=2, length=16, scan_layers=scan)
    found = planning.plan(small, optimizer)
    passes = {"inference": 1, "zo_sgd_blockwise": 2 * small.layers, "zo_sgd_conservative": 5}
    assert found.step.flops >= passes.get(optimizer, 2) * found.forward.flops


@pytest.mark.plan
def test_several_devices_share_the_model(config):
    one = planning.plan(work(config), "inference")
    four = planning.plan(work(config), "inference", devices=4)
    assert four.parameter_bytes < one.parameter_bytes / 3
    assert four.forward.flops < one.forward.flops / 3
    assert sum(found.bytes for found in four.forward.collectives.values()) > 0
    assert "on 4 × a100-80gb" in planning.report(four)
    assert "all-" in planning.report(four)


@pytest.mark.plan
def test_a_mesh_has_named_axes(config):
    mesh = {"data": 2, "model": 2}
    found = planning.plan(work(config), "inference", mesh=mesh, shallow=True)
    assert found.devices == 4
    assert found.to_dict()["mesh"] == mesh
    assert "on 4 × a100-80gb (data=2, model=2)" in planning.report(found)
    assert found.forward.communication_seconds == found.forward.sent_bytes / 300e9 > 0
    with pytest.raises(ValueError, match="devices must not be given with mesh"):
        planning.plan(work(config), "inference", devices=2, mesh=mesh)


def test_the_command_line_names_a_mesh(monkeypatch, capsys):
    def plan(*_, mesh, **__):
        raise ValueError(f"asked for {mesh}")

    monkeypatch.setattr(planning, "plan", plan)
    asked = {
        "--mesh=data=2,model=4": "asked for {'data': 2, 'model': 4}",
        "--mesh=data=2,model=4 --layout=fully-sharded": "asked for {'fsdp': 2, 'model': 4}",
    }
    wrong = {
        "--mesh=data=8 --layout=tensor-parallel": "plan: layout tensor-parallel must be for",
        **dict.fromkeys(
            ("--mesh=data", "--mesh=data=two", "--mesh=data=2,data=4", "--mesh="),
            "plan: mesh must name each axis once",
        ),
    }
    for arguments, error in {**asked, **wrong}.items():
        status = 1 if arguments in asked else 2
        assert main(["plan", "--model=opt-125m", *arguments.split()]) == status
        assert error in capsys.readouterr().err


@pytest.mark.plan
def test_a_chip_is_planned_for(config):
    found = planning.plan(work(config), "inference", "tpu-v5e")
    assert found.parameter_bytes == 2 * found.parameters
    products = 2 * found.parameters * 2 * 16
    assert 0.5 * products < found.forward.flops < 2 * products


@pytest.mark.plan
def test_a_program_that_the_compiler_refuses_is_told(configs):
    with pytest.raises(planning.DoesNotFitError, match="exceeds available HBM"):
        planning.plan(work(configs[3], batch=1, length=8), "inference", "tpu-v5e")


@pytest.mark.quick
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "a200"}, r"plan: device must be one of a100-80gb, .*, got 'a200'"),
        ({"optimizer": "lion"}, r"plan: optimizer must be one of zo_adamu, .*, got 'lion'"),
        ({"num_queries": 0}, r"plan: num_queries must be >= 1, got 0"),
        ({"optimizer": "adam", "num_queries": 2}, r"num_queries must be 1 for adam, .* got 2"),
        (
            {"optimizer": "zo_sgd_blockwise", "num_queries": 2},
            r"num_queries must be 1 for zo_sgd_blockwise, which has no queries, got 2",
        ),
        ({"device": "v100-32gb"}, r"dtype must be one of float16, float32 on v100-32gb, got 'bf"),
    ],
)
def test_bad_arguments_are_refused(config, arguments, message):
    with pytest.raises(ValueError, match=message):
        planning.plan(work(config), **arguments)


def tower(layers, dtype="bfloat16"):
    """A model of one's own: products with matrices that are alike, on a batch of two arrays."""

    def loss(params, batch):
        x, y = batch
        for weight in params:
            x = jax.nn.relu(x @ weight)
        return ((x - y) ** 2).astype("float32").mean()

    shape = jax.ShapeDtypeStruct
    params = [shape((256, 256), dtype) for _ in range(layers)]
    batch = (shape((8, 256), dtype), shape((8, 256), dtype))
    return planning.Workload(params, batch, loss, "a tower", layers, tower)


@pytest.mark.plan
def test_a_model_of_ones_own_is_planned_for():
    told: list[str] = []
    found = planning.plan(tower(6), "mezo", tell=told.append)
    assert (found.model, found.layers, found.parameters) == ("a tower", 6, 6 * 256**2)
    assert found.batch_shapes == ((8, 256), (8, 256))
    assert found.step.compiled_layers == (2, 4)
    whole = planning.plan(tower(6)._replace(at_depth=None, layers=0), "mezo", tell=told.append)
    assert whole.step.compiled_layers == (0,)
    assert told[-2:] == ["compiling the forward pass", "compiling the step of mezo"]
    assert found.step.flops == pytest.approx(whole.step.flops, rel=0.01)
    assert "a tower, mezo, bfloat16, batch 8×256 and 8×256, on" in planning.report(whole)


def never():
    raise AssertionError("a workload is made of arguments that are wrong")


@pytest.mark.quick
def test_a_workload_is_made_when_the_rest_is_known_to_be_right():
    with pytest.raises(ValueError, match="device must be one of"):
        planning.plan(never, device="a200")
    with pytest.raises(ValueError, match="optimizer must be one of"):
        planning.plan(never, "lion")


@pytest.mark.quick
@pytest.mark.parametrize("work", ["opt-125m", lambda: "opt-125m"])
def test_what_is_no_workload_is_refused(work):
    with pytest.raises(TypeError, match=r"plan: work must be a .*Workload.*, got 'opt-125m'"):
        planning.plan(work)


@pytest.mark.plan
def test_another_depth_must_be_the_one_asked_for():
    work = tower(6)._replace(at_depth=lambda layers: tower(layers + 1))
    with pytest.raises(ValueError, match=r"work.at_depth\(2\) must make .* 2 layers, got one of 3"):
        planning.plan(work, "mezo")
