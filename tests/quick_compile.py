"""``jax.jit`` for what is compared to rounding, on shapes that take no time to compute.

Most of a test's time goes to LLVM, which optimises programs that run for microseconds. What is
promised of bits, memory or operations is compiled as users compile it, by ``jax.jit`` itself.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax

QUICK: dict[str, Any] = {"xla_backend_optimization_level": 0}
quick_jit = partial(jax.jit, compiler_options=QUICK)
