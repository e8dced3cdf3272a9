"""The entry point: parses arguments, runs a command, and returns its exit status."""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING

import jax

from zojax.cli._devices import may_have_accelerator, use_cpu
from zojax.lm.processes import abandon, join, launch
from zojax.lm.training import NonFiniteLossError, export_run, finetune, replay_run

if TYPE_CHECKING:
    from zojax.cli._arguments import Finetune

_USER_ERRORS = (ImportError, OSError, ValueError, NonFiniteLossError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
      arguments: The arguments without the program's name; None reads those of this process.

    Returns:
      The exit status: 0 for success, 1 for an error that a message explains, 130 after Ctrl-C, 143
      after SIGTERM.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments == ["--version"]:
        print(f"zojax {metadata.version('zojax')}")
        return 0
    if not may_have_accelerator():
        use_cpu()
    try:
        return _run(arguments or ["--help"])
    except KeyboardInterrupt:
        print("zojax: interrupted; nothing more was saved", file=sys.stderr)
        status = 130
    except Exception as error:
        expected, alone = isinstance(error, _USER_ERRORS), not jax.distributed.is_initialized()
        if not expected or os.environ.get("ZOJAX_TRACEBACK"):
            if alone:
                raise
            traceback.print_exc()
        if expected:
            notes = getattr(error, "__notes__", ())
            print("\n".join([f"zojax: {error}", *notes]), file=sys.stderr)
            print("(ZOJAX_TRACEBACK=1 shows the traceback)", file=sys.stderr)
        status = 1
    if jax.distributed.is_initialized():
        abandon(status)
    return status


def _run(arguments: list[str]) -> int:
    try:
        import zojax.cli._arguments as args
    except ModuleNotFoundError as error:
        raise ImportError('the command line needs tyro: pip install "zojax[demo]".') from error
    from zojax.cli._baseline import run_baseline
    from zojax.cli._compare import run_compare
    from zojax.cli._console import make_console
    from zojax.cli._evaluate import run_evaluate
    from zojax.cli._gallery import run_gallery
    from zojax.cli._plan import run_plan
    from zojax.cli._predict import run_predict

    match args.parse(arguments):
        case args.BaselineArguments() as command:
            run_baseline(command)
        case args.CompareArguments() as command:
            run_compare(command)
        case args.PredictArguments() as command:
            run_predict(command)
        case args.PlanArguments() as command:
            run_plan(command)
        case args.GalleryArguments() as command:
            run_gallery(command, shlex.join(["zojax", *arguments]))
        case args.Replay(base, log, output, until):
            console = make_console()
            console.replayed(replay_run(base, log, output, until=until, observer=console))
        case args.EvaluateArguments() as command:
            run_evaluate(command)
        case args.Export(run, output, merge, which):
            console = make_console()
            folder = export_run(run, output, which=which, merge_adapter=merge, observer=console)
            console.line(f"exported   {folder}")
        case command:
            return _finetune(command, arguments)
    return 0


def _finetune(command: Finetune, arguments: list[str]) -> int:
    from zojax.cli._console import make_console

    job = command.job
    if job.processes != 1:
        if job.coordinator is not None:
            raise ValueError(
                "finetune: processes must not be given with coordinator: processes starts all of "
                "them on this host, coordinator joins processes that are started separately."
            )
        again = [sys.executable, "-P", "-m", "zojax", *arguments, "--processes=1"]
        return launch(again, job.processes)
    join(job.coordinator, job.num_processes, job.process_id)
    if jax.process_index() > 0:
        result = finetune(command.config)
    else:
        console = make_console()
        result = finetune(command.config, console)
        console.report(result)
    return 128 + result.signal if result.signal else 0
