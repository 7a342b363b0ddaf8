#!/usr/bin/env python3
"""sbatch, squeue and scontrol as submit.sh meets them, with a JSON file, $FAKE_SLURM, for a controller.

The file holds `calls` (every command line), `jobs` (id, name, state, reason, dependency, ...) and `faults`, which tests set:
{"sbatch": N, "how": refuse | lost | kill-before | kill-after} breaks the N-th sbatch call: refused; accepted, but the
answer lost; the submitting shell killed before, or after, the job was accepted. {"squeue": true} and {"release": true} fail.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

STORE = Path(os.environ["FAKE_SLURM"])
SHELL_VARIABLES = ("SBATCH_", "SLURM_", "SQUEUE_", "LETHE_")


def main(program: str, arguments: list[str]) -> int:
    state = json.loads(STORE.read_text())
    state["calls"].append([program, *arguments])
    code = {"sbatch": sbatch, "squeue": squeue, "scontrol": scontrol}[program](state, arguments)
    STORE.write_text(json.dumps(state))
    if code is None:
        os.kill(os.getppid(), signal.SIGKILL)
        return 0
    return code


def sbatch(state: dict[str, Any], arguments: list[str]) -> int | None:
    count = sum(call[0] == "sbatch" for call in state["calls"])
    how = state["faults"].get("how") if count == state["faults"].get("sbatch") else None
    if how == "refuse":
        return say("sbatch: error: Batch job submission failed: Job violates accounting/QOS policy")
    if how == "kill-before":
        return None
    option = dict(word[2:].split("=", 1) for word in arguments if re.match("--.*=", word))
    held, dependency = "--hold" in arguments, option.get("dependency", "")
    state["jobs"].append(
        {
            "id": len(state["jobs"]) + 1,
            "name": option["job-name"],
            "state": "PD",
            "reason": "JobHeldUser" if held else "Dependency" if dependency else "Priority",
            "dependency": re.sub(r"([a-z]+)((?::\d+)+)", unfold, dependency),
            "log": option["output"],
            "log_folder_exists": Path(option["output"]).parent.is_dir(),
            "comment": option["comment"],
            "export": option["export"],
            "environment": {k: v for k, v in os.environ.items() if k.startswith(SHELL_VARIABLES)},
            "script": arguments[-1],
        }
    )
    if how == "lost":
        return say("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
    if how == "kill-after":
        return None
    print(len(state["jobs"]))
    return 0


def unfold(found: re.Match[str]) -> str:
    return ",".join(f"{found[1]}:{number}(unfulfilled)" for number in found[2].strip(":").split(":"))


def squeue(state: dict[str, Any], arguments: list[str]) -> int:
    if state["faults"].get("squeue"):
        return say("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    for job in state["jobs"]:
        print("{id}|{name}|{state}|{reason}|{dependency}|{comment}".format(**job))
    return 0


def scontrol(state: dict[str, Any], arguments: list[str]) -> int:
    if arguments[0] == "release":
        if state["faults"].get("release"):
            return say("slurm_suspend error: Unable to contact slurm controller (connect failure)")
        numbers = {int(word) for word in arguments[1].split(",")}
        for job in state["jobs"]:
            if job["id"] in numbers:
                job["reason"] = "Priority"
        return 0
    wanted = dict(word.split("=", 1) for word in arguments[1:])
    for job in state["jobs"]:
        if job["id"] == int(wanted["jobid"]):
            job["dependency"], job["reason"] = wanted["dependency"], "Dependency"
    return 0


def say(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[0]).name, sys.argv[1:]))
