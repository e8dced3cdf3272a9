"""The promise of optimizers that run outside of jit, and its check."""

import contextlib
import logging
from collections.abc import Generator

import jax

from zojax.testing._optimizer import MakeOptimizer
from zojax.testing._problem import parameters, step_with
from zojax.testing._promises import require, run


def check_in_place(make: MakeOptimizer) -> None:
    """Check that an optimizer compiles nothing on its second step outside of ``jit``.

    Args:
      make: Builds the optimizer with ``evaluation="in_place"``, which must run outside of ``jit``.

    Raises:
      BrokenPromiseError: The second or third step compiles a program.
    """
    run(
        "check_in_place",
        {"compile nothing after its first step outside of jit": _eager},
        make,
        None,
    )


def _eager(make: MakeOptimizer) -> None:
    tx = make()
    params = parameters()
    step, state = step_with(tx), tx.init(params)
    params, state = step(params, state)
    for count in (2, 3):
        with _compilations() as compiled:
            params, state = step(params, state)
        require(not compiled, f"Step {count}: {'; '.join(compiled)}.")


class _Collector(logging.Handler):
    """Collects the log lines that report compilations."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "Compiling" in record.getMessage():
            self.lines.append(record.getMessage())


@contextlib.contextmanager
def _compilations() -> Generator[list[str]]:
    """Collect the lines that JAX logs about compilations, instead of printing them."""
    logger, collector = logging.getLogger("jax"), _Collector()
    handlers, propagate = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [collector], False
    try:
        with jax.log_compiles():
            yield collector.lines
    finally:
        logger.handlers, logger.propagate = handlers, propagate
