"""A job that takes no time, for workers in any process."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import zojax
from zojax.workers import Job


def optimizer(name: str = "es") -> Any:
    if name == "es":
        return zojax.es(0.05, eps=1e-2, key=0, population=8)
    if name == "zo_adamu":
        return zojax.zo_adamu(1e-2, eps=1e-2, key=0, num_steps=20, num_queries=3)
    inner = zojax.es(0.05, eps=1e-2, key=0, population=8)
    return zojax.subspace(inner, rank=2, refresh=2, key=0, in_update=False)


TARGETS = jnp.linspace(-1.0, 1.0, 12).reshape(4, 3)


@jax.jit
def _loss(params: Any, step: Any) -> Any:
    target = TARGETS * jnp.cos(0.3 * step)  # a batch of its own for each step
    return jnp.mean((params["w"] - target) ** 2) + jnp.mean(params["b"] ** 2)


def loss(params: Any, step: int) -> Any:
    return _loss(params, jnp.float32(step))


def start() -> Any:
    return {"w": jnp.ones((4, 3)), "b": jnp.ones(3)}


# Places after the job has answered: the seconds that pass before the process ends.
LATER = {"replying": 0.0, "replied": 0.3}


def make(
    name: str = "es", dies_at: str | None = None, once: str = "", dies_often: float = 0.0
) -> Job:
    """The job; in a process that ends at a place, once, or at random places."""
    chance = random.Random(os.getpid())

    def passing(place: str) -> None:
        reached = "answered" if dies_at in LATER else dies_at
        if place == reached and not Path(once).exists():
            Path(once).touch()
            if dies_at in LATER:
                threading.Timer(LATER[dies_at], os._exit, (1,)).start()
            else:
                os._exit(1)
        if chance.random() < dies_often:
            os._exit(1)

    if dies_at == "starting":
        passing("starting")
    return Job(optimizer(name), start(), loss, passing=passing)
