"""What stands in for a job's command: it checks the inputs as the real one does, and writes the done-marker that ends it."""

from __future__ import annotations

from pathlib import Path

from runtime.errors import JobError
from runtime.lifecycle.contract import Contract, guard, load
from runtime.store import markers, steps


class Lacking(JobError):
    """An input that a job can do without is missing. It then works for nothing else, and gets no done-marker: a report."""


def begin(path: Path, store: Path) -> Contract:
    """Check the inputs of the contract at `path`. Raises JobError where the real job would not start, or Lacking."""
    contract = load(path, store)
    guard(contract)
    lacking = [item.job for item in contract.inputs.values() if markers.read(item.path) is None]
    if lacking:
        raise Lacking(f"lacks {len(lacking)} of {len(contract.inputs)} inputs")
    return contract


def finish(contract: Contract) -> None:
    """Make the contract's artifact: nothing but the steps that others need, and the done-marker."""
    contract.out.mkdir(parents=True, exist_ok=True)
    for step in contract.steps:
        steps.folder_of(contract.out, step).mkdir(parents=True, exist_ok=True)
    marker = markers.Marker(
        job=contract.job,
        kind=contract.kind,
        type=contract.output_type,
        fingerprint=contract.fingerprint,
        facts={"simulated": True},
        seconds=None,
        finished=markers.now(),
        environment=contract.environment,
    )
    markers.write(contract.out, marker)


def check_log(log: str) -> None:
    """Raise JobError where Slurm could not open a job's log; the real one then ends the job without a word, with 0:53."""
    folder = Path(log).parent
    if not folder.is_dir():
        raise JobError(f"Slurm cannot open its log: there is no folder {folder}")
