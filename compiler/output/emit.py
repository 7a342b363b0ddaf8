"""From a plan to files: scripts, contracts, configs, plan.json, PLAN.md, submit_all.sh. Pure: paths to texts."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from compiler import backends
from compiler.diagnostics import Position
from compiler.language.definitions import Cluster
from compiler.language.study import Tracking
from compiler.output.arrays import Array, Seat, grouped, parents
from compiler.output.page import content
from compiler.plan.plan import Job, Plan
from compiler.text import shell_expanded

CONTRACT_VERSION = 1
SUMS = "manifest.sha256"


def emit(plan: Plan, cluster: Cluster, tracking: Tracking) -> dict[str, str]:
    """Every file of a study's generated folder: path below it -> text."""
    files: dict[str, str] = {}
    configs: dict[tuple[str, str, int, int], str] = {}  # jobs with the same settings share the very objects
    for job in plan.jobs:
        same = (job.backend, job.what, id(job.settings), id(job.execution))
        config = configs[same] = configs.get(same) or config_text(job)
        files[f"configs/{job.id}.yaml"] = config
        files[f"jobs/{job.id}.json"] = json.dumps(contract(plan, job), indent=1) + "\n"
        files[f"jobs/{job.id}.sh"] = script(plan, job, cluster, tracking, config)
    if plan.executor == "slurm":
        files["feed.sh"] = feed(plan, cluster)
    for array in grouped(plan.jobs, cluster.arrays).arrays:
        files[f"arrays/{array.name}.sh"] = array_script(plan, array, files[f"jobs/{array.first.id}.sh"])
    files["submit_all.sh"] = submit_all(plan, cluster)
    files["plan.json"] = plan.text()
    files["PLAN.md"] = plan_page(plan)
    sums = [f"{hashlib.sha256(text.encode()).hexdigest()}  {path}\n" for path, text in sorted(files.items())]
    files[SUMS] = "".join(sums)
    return files


def dispatcher() -> str:
    """`generated/submit_all.sh`, the same for whatever is compiled."""
    return (backends.TEMPLATES / "dispatch.sh").read_text(encoding="utf-8")


def config_text(job: Job) -> str:
    """A job's config file."""
    return _part(job).render_config(job.settings, job.execution)


def contract(plan: Plan, job: Job) -> dict[str, Any]:
    """What the job reads, writes and must be."""
    inputs = {
        edge.name: {
            "job": edge.job, "type": edge.type, "path": edge.path, "fingerprint": edge.fingerprint, "required": edge.required,
        }
        for edge in job.inputs
    }  # fmt: skip
    return {
        "lethe": CONTRACT_VERSION, "study": plan.study, "job": job.id, "kind": job.kind, "code": job.code,
        "fingerprint": job.fingerprint, "cell": job.cell, "config": f"configs/{job.id}.yaml", "inputs": inputs,
        "output": {"type": job.output, "path": job.path, **_kept(job)},
    }  # fmt: skip


def _kept(job: Job) -> dict[str, list[int]]:
    """The intermediate checkpoints without which a training is not done."""
    steps = job.execution.get("keep")
    return {"steps": list(steps)} if steps else {}


def script(plan: Plan, job: Job, cluster: Cluster, tracking: Tracking, config: str) -> str:
    """A job's sbatch script, which runs without Slurm just as well. `config` is the text of its config file."""
    launch = _part(job).render_launch(job.settings, job.execution, _shown(job))
    text = launch + config
    reported = job.kind == "train" and tracking.wandb != "disabled"
    return _render(
        "job.sh.j2", study=plan.study, job=job, r=job.resources, launch=launch, account=cluster.account,
        gpu_request=cluster.gpu_request, environment=cluster.environments[job.environment], store=_store(plan),
        slurm_name=slurm_name(plan, job),
        shown_inputs=[edge for edge in job.inputs if f"LETHE_IN_{edge.name.upper()}" in text],
        wandb={"mode": tracking.wandb, "project": tracking.project} if reported else None,
    )  # fmt: skip


def slurm_name(plan: Plan, job: Job) -> str:
    """The job's name in Slurm: unique per plan and fingerprint, so that a submission can be recognised."""
    return f"{plan.study}.{job.kind}.{job.name}.{job.fingerprint[:8]}"


def array_script(plan: Plan, array: Array, script: str) -> str:
    """The script of an array, which asks Slurm for what `script` asks for, that of its first job."""
    head = [line for line in script.split("\n\n", 1)[0].splitlines() if line.startswith("#SBATCH ")]
    asked = [line for line in head if not line.startswith("#SBATCH --job-name=")]
    return _render("array.sh.j2", study=plan.study, array=array, directives=asked, store=_store(plan))


def submit_all(plan: Plan, cluster: Cluster) -> str:
    """One visible line a job, in dependency order, those of an array together."""
    grouping = grouped(plan.jobs, cluster.arrays)
    lines = [_submit_line(job, grouping.seats.get(job.id)) for job in grouping.jobs]
    return _render(
        "submit_all.sh.j2", plan=plan, lines=lines, store=_store(plan), kill_on_invalid_dep=cluster.kill_on_invalid_dep,
        limits=cluster.limits, arrays=cluster.arrays if grouping.arrays else None,
    )  # fmt: skip


def feed(plan: Plan, cluster: Cluster) -> str:
    """The small job that goes on by itself; it runs where the plan's least demanding jobs do."""
    least = min(plan.jobs, key=lambda job: (job.resources["gpus"], job.resources["cpus"]))
    return _render("feed.sh.j2", study=plan.study, account=cluster.account, partition=least.resources["partition"])


def plan_page(plan: Plan) -> str:
    """PLAN.md."""
    return _render("PLAN.md.j2", **content(plan))


def _submit_line(job: Job, seat: Seat | None) -> str:
    after, ended = parents(job)
    words = ["submit", job.id, job.fingerprint]
    words += ["in", seat.array, str(seat.index)] if seat else []
    steps = job.execution.get("keep")
    words += ["steps", *map(str, steps)] if steps else []
    words += ["after", *after] if after else []
    words += ["ended", *ended] if ended else []
    return " ".join(words)


def _store(plan: Plan) -> str:
    """The store as bash reads it: LETHE_STORE if it is set, else the cluster's."""
    return "${LETHE_STORE:-" + shell_expanded(plan.store) + "}"


def _shown(job: Job) -> dict[str, Any]:
    return {"id": job.id, "kind": job.kind, "name": job.name, "cell": job.cell}


def _part(job: Job) -> backends.Part:
    return backends.part(job.backend, job.what, Position(job.id))


def _render(template: str, **values: Any) -> str:
    return backends.environment().get_template(template).render(**values)
