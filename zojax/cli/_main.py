"""Arguments in, exit status out."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from importlib import metadata

from zojax.training import FinetuneConfig, NonFiniteLossError, evaluate_run, finetune, replay_run

_USER_ERRORS = (ImportError, OSError, ValueError, NonFiniteLossError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
      arguments: Without the program's name; those of this process when None.

    Returns:
      The exit status: 0, 1 for an error that the message explains, 130 after Ctrl-C, 143 after
      SIGTERM.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments == ["--version"]:
        print(f"zojax {metadata.version('zojax')}")
        return 0
    try:
        return _run(arguments or ["--help"])
    except KeyboardInterrupt:
        print("zojax: interrupted; nothing more is saved", file=sys.stderr)
        return 130
    except _USER_ERRORS as error:
        if os.environ.get("ZOJAX_TRACEBACK"):
            raise
        print("\n".join([f"zojax: {error}", *getattr(error, "__notes__", ())]), file=sys.stderr)
        print("(ZOJAX_TRACEBACK=1 shows where)", file=sys.stderr)
        return 1


def _run(arguments: list[str]) -> int:
    try:
        from zojax.cli._arguments import GalleryArguments, PlanArguments, Replay, parse
    except ModuleNotFoundError as error:
        raise ImportError('the command line needs tyro: pip install "zojax[demo]".') from error
    from zojax.cli._console import make_console
    from zojax.cli._gallery import run_gallery
    from zojax.cli._plan import run_plan

    command = parse(arguments)
    if isinstance(command, PlanArguments):
        run_plan(command)
        return 0
    if isinstance(command, GalleryArguments):
        run_gallery(command, shlex.join(["zojax", *arguments]))
        return 0
    console = make_console()
    if isinstance(command, Replay):
        console.replayed(
            replay_run(
                command.base,
                command.log,
                command.output,
                until=command.until,
                observer=console,
            )
        )
        return 0
    if not isinstance(command, FinetuneConfig):
        evaluate_run(command.run, console)
        return 0
    result = finetune(command, console)
    console.report(result)
    return 128 + result.signal if result.signal else 0
