"""What stands around every job: a check of its inputs before it, a check of its output and the done-marker after it.

`run` brackets a native job in one process, `launch` one that another program does (torchrun, VeRL), which it starts. `begin`
and `finish` are its two halves, for scripts that start that program themselves.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

from runtime.errors import BUG, CommandFailed, EndedEarly, JobError, named
from runtime.job import Job
from runtime.launch import child
from runtime.lifecycle import lineage
from runtime.lifecycle.contract import Contract, guard, job_of, load
from runtime.manifest import manifest
from runtime.store import attempts, markers, steps, twins

# What an artifact's folder must hold: of each group, at least one of the patterns.
CONTENTS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "dataset.rows": (("train.jsonl",), ("eval.jsonl", "rows.json")),
    "dataset.sft": (("data.jsonl", "train.parquet"),),
    "dataset.preference": (("data.jsonl", "train.parquet"),),
    "dataset.rl": (("data.jsonl", "train.parquet"),),
    "dataset.privileged": (("data.jsonl", "train.parquet"),),
    "dataset.unlearning": (("forget.jsonl",), ("unlearning.json",)),
    "traces": (("traces.jsonl",),),
    "checkpoint.hf": (("config.json",), ("*.safetensors", "*.bin")),
    "checkpoint.recorded": (("config.json",), ("*.safetensors", "*.bin"), ("record/record.json",)),
    "checkpoint.adapter": (("adapter_config.json",), ("adapter_model.safetensors",)),
    "checkpoint.shards": (("latest_checkpointed_iteration.txt",),),
    "scores": (("scores.json",), ("items.jsonl",)),
    "environment": (("installed.json",),),
    "report": (("report.html",), ("report.json",), ("report.txt",)),
}


def run(kind: str, path: Path) -> None:
    """Do the native job whose contract is at `path`, unless it is done. Raises JobError or whatever the job raises."""
    contract = _open(path)
    if contract.kind != kind:
        raise JobError(f"{path} is the contract of a {contract.kind} job; use: python -m runtime {contract.kind} {path}")
    _check_version(contract)
    if _already_done(contract):
        return
    guard(contract)
    work = _work_of(kind)
    _start(contract)
    with _noted(contract):
        start = time.monotonic()
        facts = work(job_of(contract))
        _close(contract, facts, round(time.monotonic() - start, 3))


def launch(path: Path, command: Sequence[str], *, marked: bool) -> int:
    """Do a job by a command, between `begin` and `finish`; signals reach the command. Returns the exit code.

    Raises EndedEarly when a signal ended it and there is a checkpoint to go on from, CommandFailed when it failed.
    """
    if not begin(path, marked=marked):
        return 0
    contract = _open(path)
    with _told_of(contract) as more:
        ending = child.run(command, {**os.environ, **more})
    if ending.code == 0:
        finish(path)
        return 0
    with _noted(contract):
        if ending.told and (saved := _saved(contract)) is not None:
            when = f"saved last at {saved:%Y-%m-%d %H:%M:%S}"
            raise EndedEarly(
                f"{ending.told.name} ended it (exit code {ending.code}), {when}: run it again, and it goes on from there",
                withdrawn=ending.told != signal.SIGUSR1,
            )
        raise CommandFailed(f"{contract.job}: {command[0]} ended with exit code {ending.code}", ending.code)


def _told_of(contract: Contract) -> AbstractContextManager[Mapping[str, str]]:
    """What shows how far a command is while it runs, if anything does; inside, the variables that it needs for that."""
    if contract.output_type != "checkpoint.shards":
        return nullcontext({})
    from runtime.lifecycle import follow

    return follow.followed(job_of(contract))


def begin(path: Path, *, marked: bool = False) -> bool:
    """Check the inputs of a job that another program does, and make its output folder; False where it is done already.

    With `marked`, `finish` wants a mark that the program itself left (runtime/store/attempts.py).
    """
    contract = _open(path)
    if _already_done(contract):
        return False
    guard(contract)
    if contract.kind == "convert" and (step := job_of(contract).config.get("step")) is not None:
        steps.step_folder(contract.inputs["shards"], step)
    if contract.output_type == "checkpoint.shards":
        from runtime.rewards import check_rewards
        from runtime.verl import checkpoint

        check_rewards(job_of(contract))
        checkpoint.start_over_if_past(contract.job, contract.out, contract.steps)
    _start(contract, _saved(contract), marked=marked)  # what was started over has saved nothing
    return True


def finish(path: Path) -> None:
    """Check what that program left, and write the done-marker, with the time since `begin`."""
    contract = _open(path)
    if not _already_done(contract):
        with _noted(contract):
            guard(contract)
            attempts.check(contract.job, contract.out)
            facts = _gathered(job_of(contract), contract.output_type)
            began = attempts.latest(contract.out)
            _close(contract, facts, began.seconds if began else None)


def _saved(contract: Contract) -> datetime | None:
    """When a training by another program last saved what it can go on from; None where there is nothing."""
    if contract.output_type != "checkpoint.shards":
        return None
    from runtime.verl import checkpoint

    return checkpoint.saved_at(contract.out)


def _gathered(job: Job, output_type: str) -> Mapping[str, Any]:
    """The facts of what another program left, made into the artifact that its type promises."""
    if output_type == "checkpoint.shards":
        from runtime.lifecycle import follow
        from runtime.verl import checkpoint

        return {**checkpoint.close(job), **follow.close(job)}
    if output_type == "scores":
        from runtime import lm_eval_results

        return lm_eval_results.collect(job)
    if job.kind == "convert":
        from runtime.verl import adapter

        return adapter.merge(job.out)
    return {}


def _start(contract: Contract, saved: datetime | None = None, *, marked: bool = False) -> None:
    """Make the job's folder, and note the attempt. Of several processes, the first one notes it."""
    contract.out.mkdir(parents=True, exist_ok=True)
    if _is_first():
        at = saved.timestamp() if saved else None
        attempts.begin(contract.out, contract.job, contract.fingerprint, os.environ, saved=at, marked=marked)


def _is_first() -> bool:
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def _noted(contract: Contract) -> Iterator[None]:
    """Note how the attempt ends, and mark a result that is shorter than planned. Raises what happened, by its own name."""
    try:
        yield
    except Exception as error:
        ending = named(error) or error
        if _is_first():
            _note_failure(contract, ending)
        if ending is error:
            raise
        raise ending from error
    if _is_first():
        attempts.end(contract.out, 0, "done")


def _note_failure(contract: Contract, ending: Exception) -> None:
    """Note how the attempt failed, as far as there is room for it."""
    code = ending.exit_code if isinstance(ending, JobError) else BUG
    try:
        if isinstance(ending, EndedEarly):
            attempts.truncate(contract.out, contract.job, contract.fingerprint, ending)
        attempts.end(contract.out, code, f"{type(ending).__name__}: {ending}")
    except OSError as error:
        print(f"could not note in {contract.out} how it ended: {error}", file=sys.stderr, flush=True)


def _open(path: Path) -> Contract:
    store = os.environ.get("LETHE_STORE")
    if not store:
        raise JobError("LETHE_STORE is not set; run the job's script, or set it to the folder that holds the artifacts")
    return load(path, Path(store))


def _check_version(contract: Contract) -> None:
    known = manifest()["kinds"].get(contract.kind, {}).get("version")
    if known != contract.code:
        raise JobError(
            f"{contract.job} was compiled for version {contract.code} of the {contract.kind} code, "
            f"but this runtime has version {known}; compile the study again"
        )


def _already_done(contract: Contract) -> bool:
    """Say whether the job need not run. A training that kept no checkpoint of a step that is needed now is not done."""
    twin = twins.adopt(contract.out, contract.fingerprint, contract.steps)
    if twin:
        print(f"{contract.job} was done under another name: {twin}", flush=True)
    if not markers.is_done(contract.out, contract.fingerprint):
        return False
    missing = steps.missing_in(contract.out, contract.steps)
    if missing:
        print(f"{contract.job} is done, but kept no checkpoint of step {_listed(missing)}: it is trained again", flush=True)
        (contract.out / markers.NAME).unlink(missing_ok=True)  # of several processes, another may have been first
        return False
    print(f"{contract.job} is already done: {contract.out}", flush=True)
    return True


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _work_of(kind: str) -> Callable[[Job], Mapping[str, Any]]:
    try:
        module = importlib.import_module(f"runtime.jobs.{kind}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "runtime":
            raise
        raise JobError(f"{kind} jobs need the package '{error.name}', which {sys.prefix} does not have") from error
    work: Callable[[Job], Mapping[str, Any]] = module.run
    return work


def _close(contract: Contract, facts: Mapping[str, Any], seconds: float | None) -> None:
    missing = missing_files(contract.output_type, contract.out)
    if missing:
        raise JobError(f"{contract.job} ended without making {', '.join(missing)} in {contract.out}")
    lost = steps.missing_in(contract.out, contract.steps)
    if lost:
        raise JobError(f"{contract.job} ended without keeping a checkpoint of step {_listed(lost)}; is it past the last one?")
    markers.write(
        contract.out,
        markers.Marker(
            job=contract.job,
            kind=contract.kind,
            type=contract.output_type,
            fingerprint=contract.fingerprint,
            facts=facts,
            seconds=seconds,
            finished=markers.now(),
            environment=contract.environment,
            lineage=lineage.of(contract.inputs),
        ),
    )


def missing_files(output_type: str, folder: Path) -> list[str]:
    """Return what an artifact of that type lacks in `folder`, named as in "*.safetensors or *.bin"."""
    if output_type not in CONTENTS:
        raise JobError(f"this runtime knows no artifact type '{output_type}'; it knows {', '.join(CONTENTS)}")
    groups = CONTENTS[output_type]
    return [" or ".join(group) for group in groups if not any(any(folder.glob(pattern)) for pattern in group)]
