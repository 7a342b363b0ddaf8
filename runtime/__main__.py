"""`python -m runtime VERB …`: what generated scripts call, and what shows how a study is doing.

Importing this must stay cheap: a job's own modules, and all that is heavy, are imported when a job runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import operations
from runtime.errors import BUG, EndedEarly, JobError
from runtime.manifest import manifest

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EPILOG = """\
A job's script calls the verb of its kind with its contract, the small JSON beside the script. For instance:

  bash generated/micro/submit_all.sh             run or submit everything that is not done yet
  python -m runtime status generated/micro/plan.json
  LETHE_STORE=work python -m runtime train generated/micro/jobs/train/NAME.json

exit codes: 0 done; 1 a message says what is wrong; 65 an input is missing or not what the job was compiled against;
70 a bug of ours, with a traceback; 71 out of memory; 74 no room on the disk; 75 ended early, a checkpoint is there to go
on from
"""


def main(argv: Sequence[str]) -> int:
    """Do what the arguments ask; return the exit code that docs/design.md, section 5, gives its meaning."""
    address = os.environ.get("LETHE_WARM")
    if address and argv and manifest()["kinds"].get(argv[0], {}).get("warm"):
        from runtime.local.warm import ask

        code = ask(address, argv)
        if code is not None:
            return code
    arguments = _parser().parse_args(argv)
    try:
        code = _do(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever reads has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except JobError as error:
        print(error, file=sys.stderr, flush=True)
        if isinstance(error, EndedEarly) and not error.withdrawn:
            _go_on()
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr, flush=True)
        return 130
    except Exception:  # the process's edge: whatever else a job raises is a bug, and must not look like a user's mistake
        import traceback

        traceback.print_exc()
        return BUG


def _go_on() -> None:
    """Have Slurm start the job again. Of several processes, one asks."""
    if os.environ.get("RANK", "0") == "0":
        from runtime.lifecycle import requeue

        if told := requeue.ask(os.environ):
            print(told, flush=True)


def _do(arguments: Namespace) -> int:
    match arguments.verb:
        case verb if verb in operations.VERBS:
            return operations.run(arguments)
        case "table":
            from runtime.report import command

            return command(arguments.plan, arguments.store, arguments.json)
        case "simulate":
            from runtime.simulate.command import run

            return run(arguments)
        case "local":
            from runtime.local.executor import execute

            return execute(arguments.list, arguments.study, arguments.generated, arguments.store, arguments.done)
        case "warm":
            return _serve(arguments.socket)
        case _:
            return _bracket(arguments)


def _bracket(arguments: Namespace) -> int:
    from runtime.lifecycle import bracket

    match arguments.verb:
        case "launch":
            return bracket.launch(arguments.contract, arguments.command, marked=arguments.marked)
        case "begin":
            bracket.begin(arguments.contract, marked=arguments.marked)
        case "finish":
            bracket.finish(arguments.contract)
        case kind:
            bracket.run(kind, arguments.contract)
    return 0


def _serve(socket: str) -> int:
    from runtime.local.warm import leave, serve

    request = serve(socket)
    if request is None:
        return 0
    try:
        leave(main(request.argv))
    except SystemExit as ending:
        leave(ending.code if isinstance(ending.code, int) else 1)


def _parser() -> ArgumentParser:
    from argparse import REMAINDER, ArgumentParser, RawDescriptionHelpFormatter

    parser = ArgumentParser(
        prog="python -m runtime",
        description="Runs the jobs of a compiled study, and shows how the study is doing.",
        epilog=EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    about = {name: kind["about"] for name, kind in manifest()["kinds"].items() if not kind.get("external")}
    about |= {
        "launch": "do a job by another program: begin, the command, finish; signals reach the command",
        "begin": "check the inputs of a job that another program does",
        "finish": "check that program's output and write the done-marker",
    }
    for name, text in about.items():
        verb = verbs.add_parser(name, help=text, description=text)
        if name in ("launch", "begin"):
            marked = "finish only if the command left its mark (python -m runtime.launch.marked COMMAND)"
            verb.add_argument("--marked", action="store_true", help=marked)
        verb.add_argument("contract", type=Path, metavar="CONTRACT", help="generated/STUDY/jobs/KIND/NAME.json")
        if name == "launch":
            verb.add_argument("command", nargs=REMAINDER, metavar="COMMAND", help="with its arguments")
    operations.add(verbs)
    text = "compare a study's scores, before and after; name what is missing"
    verb = verbs.add_parser("table", help=text, description=text)
    verb.add_argument("plan", type=Path, metavar="PLAN", help="generated/STUDY/plan.json")
    verb.add_argument("--json", action="store_true", help="print one JSON document")
    verb.add_argument("--store", type=Path, help="the folder of artifacts, if not $LETHE_STORE or the plan's own")
    simulated = verbs.add_parser("simulate", help="play a study on a simulated Slurm, with jobs that fail on cue")
    simulated.add_argument("plan", type=Path, metavar="PLAN", help="generated/STUDY/plan.json")
    simulated.add_argument("--json", action="store_true", help="print one JSON document")
    simulated.add_argument(
        "--fail", action="append", default=[], metavar="JOB=END", help="let jobs end so; JOB may have * and ?"
    )
    simulated.add_argument("--random", type=float, default=0.0, metavar="P", help="let each job fail with this probability")
    simulated.add_argument("--seed", type=int, default=0, metavar="N", help="another draw of --random")
    simulated.add_argument("--kill-submitter", type=int, metavar="N", help="kill submit_all.sh at its Nth sbatch, run it again")
    local = verbs.add_parser("local", help="run the listed scripts on this machine (submit_all.sh calls this)")
    for option in ("study", "generated", "store", "done"):
        local.add_argument(f"--{option}", type={"study": str, "done": int}.get(option, Path), required=True)
    local.add_argument(
        "list", type=Path, metavar="LIST", help="lines of job, fingerprint, after, ended, steps, with tabs between"
    )
    warm = verbs.add_parser("warm", help="keep a process with the imports done, for jobs on this machine")
    warm.add_argument("socket", metavar="SOCKET", help="where to listen")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
