"""Errors that name the function that the user called."""

import functools
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeAlias

import optax

P = ParamSpec("P")
Factory: TypeAlias = Callable[P, optax.GradientTransformationExtraArgs]


def speaks_for(*parts: str, name: str | None = None) -> Callable[[Factory[P]], Factory[P]]:
    """A decorator for a factory that is made of others: their errors begin with its own name.

    ``mezo: eps must be > 0`` is what the user of ``mezo`` can look up, who never called ``spsa``.
    It holds for what the factory raises, and for ``init`` and ``update`` of what it returns.

    Args:
      parts: Names of the functions it is made of, with which their messages begin.
      name: Its own name; that of the function where None.

    Returns:
      A decorator that keeps the signature.
    """

    def decorate(factory: Factory[P]) -> Factory[P]:
        own = name or factory.__name__

        @contextmanager
        def renamed() -> Generator[None]:
            try:
                yield
            except (TypeError, ValueError) as error:
                # In place, so that the traceback ends where the error was raised, with nothing
                # "during handling of" it.
                error.args = (_renamed(str(error), parts, own), *error.args[1:])
                raise

        @functools.wraps(factory)
        def make(*args: P.args, **kwargs: P.kwargs) -> optax.GradientTransformationExtraArgs:
            with renamed():
                tx = factory(*args, **kwargs)

            def init(params: Any) -> Any:
                with renamed():
                    return tx.init(params)

            def update(
                updates: Any, state: Any, params: Any = None, **extra_args: Any
            ) -> tuple[Any, Any]:
                with renamed():
                    return tx.update(updates, state, params, **extra_args)

            return optax.GradientTransformationExtraArgs(init, update)

        make.__name__ = make.__qualname__ = own
        return make

    return decorate


def _renamed(message: str, parts: tuple[str, ...], own: str) -> str:
    for part in parts:
        # "spsa: " begins a message of ours, "spsa() " one of Python's about the arguments.
        for mark in (": ", "() "):
            if message.startswith(part + mark):
                return own + message[len(part) :]
    return message
