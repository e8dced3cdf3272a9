"""Compiler options: those that the installed XLA knows, and no others."""

import jax
import jax.numpy as jnp
import pytest

import zojax
from zojax import planning, streaming
from zojax.streaming import _compiler


@pytest.mark.parametrize(
    "foreign",
    [
        {"xla_cpu_option_of_another_version": "1"},
        {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_OF_ANOTHER_VERSION"},
    ],
    ids=["option", "value"],
)
def test_options_that_are_not_there_are_left_out(monkeypatch, foreign):
    known = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
    monkeypatch.setitem(_compiler.OPTIONS, "cpu", {**foreign, **known})
    options = zojax.compiler_options()
    assert options == known
    assert jax.jit(lambda x: x + 1, compiler_options=options)(jnp.zeros(())) == 1


def test_each_option_is_tried_once(monkeypatch):
    zojax.compiler_options()

    def compile_again(_function):
        raise AssertionError("an option is tried again")

    monkeypatch.setattr(jax, "jit", compile_again)
    assert zojax.compiler_options() == zojax.compiler_options()


def test_the_options_of_today_are_known():
    # Where this fails, XLA has renamed one: find its new name, for steps take more memory without.
    assert zojax.compiler_options() == _compiler.OPTIONS["cpu"]


@pytest.mark.plan
def test_the_options_of_today_are_known_to_the_compiler_for_tpus():
    device = planning.topology("tpu-v5e").devices[0]
    assert streaming.options_for(device) == _compiler.OPTIONS["tpu"]


@pytest.mark.plan
def test_the_options_of_today_are_known_to_the_compiler_for_gpus():
    device = planning.topology("a100-80gb").devices[0]
    assert streaming.options_for(device) == _compiler.OPTIONS["gpu"]
