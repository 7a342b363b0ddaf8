"""A small generated tree, made by hand as the compiler would make it, for tests of what runs it.

`Tree.add` writes a job's script, contract and config; `Tree.close` the plan, submit_all.sh and the manifest. Jobs make
`traces`. A script is bracketed by begin and finish, or, to be quick, by bash that writes the same done-marker.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.manifest import manifest

REPOSITORY = Path(__file__).parent.parent
MAKE_TRACES = 'echo "{\\"id\\": \\"$LETHE_OUT\\"}" > "$LETHE_OUT/traces.jsonl"'
QUIET = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


@dataclass
class Tree:
    """A root with `runtime/` (a link) and `generated/STUDY/`, and a store beside it."""

    root: Path
    executor: str = "local"
    study: str = "toy"
    lines: list[str] = field(default_factory=list)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    cells: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.generated.mkdir(parents=True)
        (self.root / "runtime").symlink_to(REPOSITORY / "runtime")

    @property
    def generated(self) -> Path:
        return self.root / "generated" / self.study

    @property
    def store(self) -> Path:
        return self.root / "store"

    def out(self, job: str) -> Path:
        return self.store / f"{job}-{self.jobs[job]['fingerprint'][:12]}"

    def contract(self, job: str) -> Path:
        return self.generated / "jobs" / f"{job}.json"

    def log(self, job: str, number: int | None = None) -> Path:
        tail = "" if number is None else f"-{number}"
        return self.store / "logs" / self.study / f"{job.replace('/', '.')}{tail}.out"

    def name(self, job: str) -> str:
        return f"{self.study}.{job.replace('/', '.')}.{self.jobs[job]['fingerprint'][:8]}"

    def add(
        self,
        job: str,
        after: Sequence[str] = (),
        ended: Sequence[str] = (),
        body: str = MAKE_TRACES,
        config: Mapping[str, Any] | None = None,
        bracket: str = "bash",
        output: str = "traces",
        steps: Sequence[int] = (),
        links: int = 1,
    ) -> str:
        """Add a job; its inputs are its parents. `bracket` is bash, python or none; `steps` are those it must keep."""
        kind = job.partition("/")[0]
        inputs = [self._input(parent, parent in after) for parent in (*after, *ended)]
        text = json.dumps([job, config, [item["fingerprint"] for item in inputs]], sort_keys=True)
        fingerprint = hashlib.sha256(text.encode()).hexdigest()
        contract = {
            "lethe": 1,
            "study": self.study,
            "job": job,
            "kind": kind,
            "code": manifest()["kinds"].get(kind, {}).get("version", 1),
            "fingerprint": fingerprint,
            "cell": None,
            "config": f"configs/{job}.yaml",
            "inputs": {f"in{number}": item for number, item in enumerate(inputs)},
            "output": {"type": output, "path": f"{job}-{fingerprint[:12]}", **({"steps": [*steps]} if steps else {})},
        }
        self._write(f"configs/{job}.yaml", json.dumps(config or {}) + "\n")
        self._write(f"jobs/{job}.json", json.dumps(contract, indent=2) + "\n")
        self._write(f"jobs/{job}.sh", self._script(job, fingerprint, body, bracket))
        edges = [{"name": f"in{n}", "job": item["job"], "required": item["required"]} for n, item in enumerate(inputs)]
        self.jobs[job] = {"id": job, "kind": kind, "fingerprint": fingerprint, "inputs": edges}
        self.jobs[job]["execution"] = {"keep": [*steps]} if steps else {}
        kept = ["steps", *map(str, steps)] if steps else []
        many = ["links", str(links)] if links > 1 else []
        words = [*many, *kept, *(["after", *after] if after else []), *(["ended", *ended] if ended else [])]
        self.lines.append(" ".join(["submit", job, fingerprint, *words]))
        return job

    def add_cell(self, axes: Mapping[str, str], after: Sequence[str], body: str = MAKE_TRACES) -> str:
        """Add a cell: a training with that body and the evaluation of what it makes; its name is its values on `axes`."""
        name = "_".join(axes.values())
        train = self.add(f"train/{name}", after=after, body=body)
        suite = axes["domain"]
        score = self.add(f"evaluate/{name}.{suite}", after=[train])
        for job in (train, score):
            self.jobs[job]["cell"] = dict(axes)
        cell = {"id": name, "axes": dict(axes), "train": train, "before": {}, "after": {suite: score}}
        self.cells.append({**cell, "trained": [suite], "points": []})
        return name

    def array(self, name: str, members: Mapping[int, str]) -> str:
        """Let these jobs, whose lines stand together, be submitted as one array; give its name, which tells its elements."""
        told = "".join(f"{index} {self.jobs[job]['fingerprint']}\n" for index, job in members.items())
        name = f"{name}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"
        for index, job in members.items():
            head = f"submit {job} {self.jobs[job]['fingerprint']}"
            self.lines = [line.replace(head, f"{head} in {name} {index}") for line in self.lines]
        cases = [f"    {index}) job={job} ;;" for index, job in members.items()]
        script = [
            "#!/bin/bash",
            "#SBATCH --time=5 --mem=100 --open-mode=append",
            "case $SLURM_ARRAY_TASK_ID in",
            *cases,
            "esac",
            'log="$LETHE_STORE/logs/toy" number=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID',
            f'ln -sfn "{name}-$number.out" "$log/${{job/\\//.}}-$number.out"',
            f'exec bash "$LETHE_ROOT/generated/{self.study}/jobs/$job.sh"',
            "",
        ]
        self._write(f"arrays/{name}.sh", "\n".join(script))
        return name

    def close(self, switches: str = "") -> Tree:
        """Write what stands above the jobs, and hash everything."""
        plan = {
            "lethe": 1,
            "study": self.study,
            "executor": self.executor,
            "store": "store",
            "axes": {axis: [*dict.fromkeys(cell["axes"][axis] for cell in self.cells)] for axis in self._axes()},
            "cells": self.cells,
            "jobs": [*self.jobs.values()],
        }
        self._write("plan.json", json.dumps(plan, indent=1) + "\n")
        head = [
            "#!/usr/bin/env bash",
            f"study={self.study}",
            f"executor={self.executor}",
            "store=${LETHE_STORE:-store}",
            'here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)',
            'root=$(cd -- "$here/../.." && pwd)',
            switches,
            '. "$root/runtime/submit.sh"',
            'open_plan "$@"',
        ]
        self._write("submit_all.sh", "\n".join([*head, *self.lines, "close_plan", ""]))
        again = f'bash "$LETHE_ROOT/generated/{self.study}/submit_all.sh" --yes --feed --only-new "$@" || [[ $? == 4 ]]'
        self._write("feed.sh", f"#!/bin/bash\n#SBATCH --time=5 --mem=100\nunset SLURM_EXPORT_ENV\n{again}\n")
        self.seal()
        return self

    def seal(self) -> None:
        """Write manifest.sha256 for the files as they are now."""
        files = sorted(path for path in self.generated.rglob("*") if path.is_file() and path.name != "manifest.sha256")
        lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(self.generated)}" for path in files]
        self._write("manifest.sha256", "\n".join([*lines, ""]))

    def submit(self, *options: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run submit_all.sh from elsewhere, with this Python first on the path."""
        return subprocess.run(
            ["bash", str(self.generated / "submit_all.sh"), *options],
            capture_output=True,
            text=True,
            cwd=self.root.parent,
            env=self.environment(environment),
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The tests' own environment without Lethe's variables, and with `more`."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LETHE_")}
        path = f"{Path(sys.executable).parent}:{kept['PATH']}"
        return {**kept, **QUIET, "PATH": path, **(more or {})}

    def events(self) -> list[tuple[str, str]]:
        """The ledger's events, oldest first, as (event, job)."""
        path = self.store / "ledger" / f"{self.study}.tsv"
        rows = [line.split("\t") for line in path.read_text().splitlines()] if path.exists() else []
        return [(row[1], row[2]) for row in rows]

    def forget(self, job: str) -> None:
        """Remove a job's artifact from the store."""
        shutil.rmtree(self.out(job))

    def _axes(self) -> list[str]:
        return [*dict.fromkeys(axis for cell in self.cells for axis in cell["axes"])]

    def _input(self, parent: str, required: bool) -> dict[str, Any]:
        fingerprint = self.jobs[parent]["fingerprint"]
        path = f"{parent}-{fingerprint[:12]}"
        return {"job": parent, "type": "traces", "path": path, "fingerprint": fingerprint, "required": required}

    def _script(self, job: str, fingerprint: str, body: str, bracket: str) -> str:
        head = [
            "#!/bin/bash",
            f"#SBATCH --job-name={self.study}.{job.replace('/', '.')}.{fingerprint[:8]}",
            "#SBATCH --time=5 --mem=100 --open-mode=append",
            "set -euo pipefail",
            "unset SLURM_EXPORT_ENV  # or srun would pass on only what sbatch was told to",
            'cd "${LETHE_ROOT:-$SLURM_SUBMIT_DIR}"',
            'export LETHE_STORE="${LETHE_STORE:-store}"',
            f'export LETHE_CONTRACT="$PWD/generated/{self.study}/jobs/{job}.json"',
            f'export LETHE_OUT="$LETHE_STORE/{job}-{fingerprint[:12]}"',
            f'export PATH="{Path(sys.executable).parent}:$PATH" ' + " ".join(f"{k}={v}" for k, v in QUIET.items()),
        ]
        marker = {"lethe": 1, "job": job, "kind": job.partition("/")[0], "type": "traces", "fingerprint": fingerprint}
        marker |= {"facts": {}, "seconds": None, "finished": "2026-01-31T12:00:00Z"}
        before, after = {
            "python": ('python -m runtime begin "$LETHE_CONTRACT"', 'python -m runtime finish "$LETHE_CONTRACT"'),
            "bash": ('mkdir -p "$LETHE_OUT"', f"echo '{json.dumps(marker)}' > \"$LETHE_OUT/DONE.json\""),
            "none": ("", ""),
        }[bracket]
        return "\n".join([*head, before, body, after, ""])

    def _write(self, name: str, text: str) -> None:
        path = self.generated / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
