"""Reads the arguments of a command into its dataclass; each error says what to write instead."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from zojax.cli._hints import meant, meant_option
from zojax.cli._options import Option, build, options_of

# What argparse says of an option, and what is said here.
_COUNT = re.compile(r"argument (\S+): expected (.*) arguments?$")
_REQUIRED = re.compile(r"the following arguments are required: (.*)$")
_NUMBER = re.compile(r"-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$", re.IGNORECASE)


class UsageError(Exception):
    """The arguments are wrong; nothing was begun."""


def parse(command: str, kind: type, arguments: Sequence[str]) -> Any:
    """Read the arguments of a command.

    Args:
      command: The command's name.
      kind: Its dataclass.
      arguments: The arguments after the name.

    Raises:
      UsageError: An argument is unknown, missing or wrong.
    """
    options = options_of(kind)
    parser = _Parser(command, options)
    parser.refuse_unknown(arguments)
    given, surplus = parser.parse_known_args(arguments)
    if surplus:
        raise UsageError(f"{command}: nothing takes the value {surplus[0]!r}. Leave it out.")
    values: dict[tuple[str, ...], Any] = {}
    for one in options:
        if one.name in given:
            value = getattr(given, one.name)
            values[*one.group, one.name] = value if one.number is None else tuple(value)
    try:
        return build(kind, values)
    except ValueError as error:  # the dataclass refuses a value
        raise UsageError(str(error)) from error


class _Parser(argparse.ArgumentParser):
    def __init__(self, command: str, options: Sequence[Option]) -> None:
        super().__init__(
            f"zojax {command}",
            add_help=False,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
        )
        self._command = command
        self._flags = {one.flag: one for one in options if not one.positional}
        # argparse would take -1e-3 for an option.
        self._negative_number_matcher = _NUMBER
        for one in options:
            self._add(one)

    def _add(self, one: Option) -> None:
        settings: dict[str, Any] = {"type": self._reader(one)}
        if one.kind is bool:
            settings = {"action": argparse.BooleanOptionalAction}
        elif one.number is not None:
            settings |= {"nargs": one.number or "+"}
        if one.positional:
            self.add_argument(one.name, **settings)
            return
        required = one.default is dataclasses.MISSING
        # As in Python: --learning_rate is --learning-rate.
        names = (one.name.replace("_", "-"), one.name, *one.aliases)
        flags = dict.fromkeys(f"--{name}" for name in names)
        self.add_argument(*flags, dest=one.name, required=required, **settings)

    def _reader(self, one: Option) -> Callable[[str], Any]:
        kinds = {int: "a whole number", float: "a number"}

        def read(text: str) -> Any:
            if text in one.choices:
                return text
            if one.choices and one.kind is str:
                raise UsageError(
                    f"{self._command}: {one.flag} must be one of {', '.join(one.choices)}, got "
                    f"{text!r}.{meant(text, one.choices)}"
                )
            try:
                return one.kind(text)
            except ValueError as error:
                number = " or ".join((kinds[one.kind], *one.choices))
                raise UsageError(
                    f"{self._command}: {one.flag} must be {number}, got {text!r}."
                ) from error

        return read

    def refuse_unknown(self, arguments: Sequence[str]) -> None:
        """Refuse the first option that the command does not have."""
        for argument in arguments:
            flag = argument.split("=")[0]
            is_option = flag.startswith("-") and flag != "-" and not _NUMBER.match(argument)
            if is_option and flag not in self._option_string_actions:
                raise UsageError(
                    f"{self._command}: there is no option {flag}.{meant_option(flag, self._flags)}"
                )

    def error(self, message: str) -> NoReturn:
        """Say what argparse has found in the words of this command line."""
        if found := _COUNT.match(message):
            name = found[1].split("/")[0]
            values = "a value" if found[2] in ("one", "at least one") else f"{found[2]} values"
            message = f"{name} needs {values}."
        elif found := _REQUIRED.match(message):
            names = [name.split("/")[0] for name in found[1].split(", ")]
            message = f"{' and '.join(names)} must be given."
        raise UsageError(f"{self._command}: {message}")
