"""Arguments in, exit status out."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from importlib import metadata

from zojax.training import NonFiniteLossError, evaluate_run, finetune, replay_run

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
        import zojax.cli._arguments as args
    except ModuleNotFoundError as error:
        raise ImportError('the command line needs tyro: pip install "zojax[demo]".') from error
    from zojax.cli._baseline import run_baseline
    from zojax.cli._compare import run_compare
    from zojax.cli._console import make_console
    from zojax.cli._gallery import run_gallery
    from zojax.cli._plan import run_plan

    match args.parse(arguments):
        case args.BaselineArguments() as command:
            run_baseline(command)
        case args.CompareArguments() as command:
            run_compare(command)
        case args.PlanArguments() as command:
            run_plan(command)
        case args.GalleryArguments() as command:
            run_gallery(command, shlex.join(["zojax", *arguments]))
        case args.Replay(base, log, output, until):
            console = make_console()
            console.replayed(replay_run(base, log, output, until=until, observer=console))
        case args.Evaluate(run):
            evaluate_run(run, make_console())
        case config:
            console = make_console()
            result = finetune(config, console)
            console.report(result)
            return 128 + result.signal if result.signal else 0
    return 0
