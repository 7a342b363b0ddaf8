"""A job that stopped before its planned end asks Slurm to start it again, where the cluster's profile allows that.

Elsewhere its next link goes on, where it has one.

Slurm keeps the job's id through a requeue, so that whatever waits for it goes on waiting. It ends the job at once, so this
is the last thing a job does.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from runtime.store import attempts

ALLOWED = "LETHE_REQUEUE"  # "yes" in the scripts of clusters whose profile allows it
MOST = "LETHE_ATTEMPTS"  # how often Slurm may start a job


def ask(environment: Mapping[str, str]) -> str:
    """Have this job started again; say what came of it, in words for its log. Outside of Slurm nothing is asked."""
    number = environment.get("SLURM_JOB_ID")
    if not number:
        return ""
    link, links = attempts.link_of(environment)
    if link < links:
        return f"link {link} of {links} ends here, and the next goes on from its checkpoint"
    if environment.get(ALLOWED) != "yes":
        return "Slurm does not start it again here (requeue: false); submit_all.sh does"
    started, most = int(environment.get("SLURM_RESTART_COUNT") or 0) + 1, int(environment.get(MOST) or 1)
    if started >= most:
        return f"Slurm has started it {started} times, which is all it may; submit_all.sh lets it go on"
    asked = subprocess.run(["scontrol", "requeue", number], capture_output=True, text=True, check=False)
    if asked.returncode:
        return f"Slurm did not requeue job {number} ({asked.stderr.strip()}); submit_all.sh lets it go on"
    return f"job {number} is queued again, to go on from its checkpoint"
