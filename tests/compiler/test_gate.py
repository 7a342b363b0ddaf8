"""`canary: true`: nothing of a study starts before its canary has succeeded, on Slurm and on this machine."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime.simulate import cluster as simulated
from runtime.simulate.slurm import Job
from tests.compiler.project import REPOSITORY, Project, Result

NOTHING: dict[str, str] = {}


@dataclass(frozen=True)
class Gated:
    """The toy study behind its canary, compiled for Slurm, and a pretended Slurm."""

    project: Project
    slurm: Path

    @property
    def store(self) -> Path:
        return self.project.root / "store"

    def submit(self, fault: dict[str, str] = NOTHING) -> subprocess.CompletedProcess[str]:
        cluster = simulated.Cluster.open(self.slurm)
        return simulated.submit(cluster, self.project.tree / "submit_all.sh", self.store, fault)

    def queued(self, study: str) -> dict[str, Job]:
        """What Slurm has of a study, by job; the newest where there are several."""
        found = simulated.Cluster.open(self.slurm).queue.jobs.values()
        return {job.script.split("/jobs/")[1].removesuffix(".sh"): job for job in found if job.name.startswith(f"{study}.")}

    def finish(self, study: str, job: str) -> None:
        """Put a job's done-marker into the store, as if it had run."""
        plan = json.loads((self.project.generated / study / "plan.json").read_text())
        (fingerprint,) = [found["fingerprint"] for found in plan["jobs"] if found["id"] == job]
        folder = self.store / f"{job}-{fingerprint[:12]}"
        folder.mkdir(parents=True)
        marker = {"job": job, "kind": job.partition("/")[0], "type": "report", "facts": {}, "seconds": None, "finished": ""}
        (folder / "DONE.json").write_text(json.dumps({"lethe": 1, "fingerprint": fingerprint, **marker}))


def gated(root: Path, cluster: str) -> Project:
    project = Project.make(root)
    project.add("\ncanary: true\n")
    project.edit("toy.yaml", "cluster: here", f"cluster: {cluster}")
    (project.root / "runtime").symlink_to(REPOSITORY / "runtime")
    project.compile()
    return project


@pytest.fixture
def study(tmp_path: Path) -> Gated:
    project = gated(tmp_path / "project", "gres_site")
    return Gated(project, simulated.Cluster.make(tmp_path / "slurm").folder)


def test_compiling_writes_the_canary_too(study: Gated) -> None:
    assert (study.project.generated / "toy-canary/plan.json").is_file()
    assert study.project.plan()["gate"] == "toy-canary"
    canary = json.loads((study.project.generated / "toy-canary/plan.json").read_text())
    assert canary["gate"] is None and len(canary["jobs"]) < len(study.project.plan()["jobs"])
    assert "gate toy-canary" in (study.project.tree / "submit_all.sh").read_text().splitlines()
    told = study.project.lethe("compile", "specs/toy.yaml")
    assert "generated/toy-canary: its canary; nothing of toy starts before that has succeeded." in told.out


def test_it_is_no_part_of_a_fingerprint(study: Gated) -> None:
    before = {name: job["fingerprint"] for name, job in study.project.jobs().items()}
    study.project.edit("toy.yaml", "canary: true", "canary: false")
    study.project.compile()
    assert {name: job["fingerprint"] for name, job in study.project.jobs().items()} == before
    assert study.project.plan()["gate"] is None


def test_one_submission_sends_both_and_whatever_could_start_waits_for_the_canarys_report(study: Gated) -> None:
    done = study.submit()
    assert done.returncode == 0, done.stderr
    report = study.queued("toy-canary")["report/toy-canary"].id
    jobs = study.queued("toy")
    assert len(jobs) == len(study.project.plan()["jobs"])
    roots = {job["id"] for job in study.project.plan()["jobs"] if not job["inputs"]}
    # the report waits for the end of others, and that is theirs, too, if the canary fails
    assert {name for name, job in jobs.items() if report in job.waits} == roots | {"report/toy"}
    ready = {job.name.partition(".")[0] for job in simulated.Cluster.open(study.slurm).queue.ready()}
    assert ready == {"toy-canary"}


def test_a_second_submission_sends_nothing_again(study: Gated) -> None:
    study.submit()
    before = len(simulated.Cluster.open(study.slurm).queue.jobs)
    assert study.submit().returncode == 0
    assert len(simulated.Cluster.open(study.slurm).queue.jobs) == before


def test_what_the_canary_has_prepared_does_not_let_others_start_before_it_has_succeeded(study: Gated) -> None:
    prepared = [job["id"] for job in study.project.plan()["jobs"] if job["kind"] == "prepare"]
    for job in prepared:
        study.finish("toy", job)
    assert study.submit().returncode == 0
    report = study.queued("toy-canary")["report/toy-canary"].id
    queued = study.queued("toy")
    assert [name for name, job in queued.items() if not job.waits] == []
    assert {report in job.waits for name, job in queued.items() if name.startswith("build/truth")} == {True}


def test_once_the_canary_is_done_the_study_waits_for_nothing(study: Gated) -> None:
    study.finish("toy-canary", "report/toy-canary")
    assert study.submit().returncode == 0
    assert study.queued("toy-canary") == {}
    assert {name for name, job in study.queued("toy").items() if not job.waits} == {
        job["id"] for job in study.project.plan()["jobs"] if not job["inputs"]
    }


def test_a_canary_that_failed_lets_nothing_start_until_it_is_mended(study: Gated) -> None:
    study.submit()
    cluster = simulated.Cluster.open(study.slurm)
    cluster.queue.end(study.queued("toy-canary")["report/toy-canary"].id, "FAILED", "NonZeroExitCode")
    cluster.save()
    assert {job.state for job in study.queued("toy").values()} == {"CANCELLED"}
    assert study.submit().returncode == 0
    again = study.queued("toy-canary")["report/toy-canary"]
    assert again.state == "PENDING"
    assert {again.id in job.waits for name, job in study.queued("toy").items() if name.startswith("prepare/")} == {True}


@pytest.mark.parametrize(
    ("refused", "code", "message"),
    [
        (1, 1, "toy-canary could not be submitted, or did not succeed; its message is above"),
        (2, 4, "toy-canary, which comes first, is in the queue in part only; its message is above"),
    ],
)
def test_a_canary_that_cannot_be_submitted_stops_the_study(study: Gated, refused: int, code: int, message: str) -> None:
    done = study.submit({"FAKE_SLURM_AT": str(refused), "FAKE_SLURM_FAULT": "refuse"})
    assert done.returncode == code
    assert message in done.stderr
    assert study.queued("toy") == {}


def test_a_canary_that_is_gone_is_one_message(study: Gated) -> None:
    (study.project.generated / "toy-canary/submit_all.sh").unlink()
    done = study.submit()
    assert done.returncode == 1 and "toy waits for toy-canary, and that is not compiled" in done.stderr


def test_a_dry_run_shows_both(study: Gated) -> None:
    environment = simulated.Cluster.open(study.slurm).environment("/usr/bin:/bin")
    environment["LETHE_STORE"] = str(study.store)
    shown = study.project.shell("bash", "generated/submit_all.sh", "toy", "--dry-run", environment=environment)
    assert shown.code == 0, shown.err
    lines = [line for line in shown.out.splitlines() if line.startswith("sbatch ")]
    assert len(lines) == sum(
        len(list((study.project.generated / name / "jobs").rglob("*.sh"))) for name in ("toy", "toy-canary")
    )
    assert any("toy/jobs/prepare/" in line and "afterok:{report/toy-canary}" in line for line in lines)


def test_a_simulation_plays_both_and_counts_the_study(study: Gated) -> None:
    result = simulate(study.project)
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["counts"]["done"] == len(study.project.plan()["jobs"])
    assert (found["submitted_twice"], found["again"]) == ([], {"submitted": [], "left": []})


def simulate(project: Project) -> Result:
    words = ["-m", "runtime", "simulate", "generated/toy/plan.json", "--json"]
    return project.shell("python3", *words, environment={"SCRATCH": str(project.root)})


def test_status_says_what_it_waits_for(study: Gated) -> None:
    environment = {**simulated.Cluster.open(study.slurm).environment("/usr/bin:/bin"), "LETHE_STORE": str(study.store)}

    def status(*words: str) -> Result:
        return study.project.shell(
            "python3", "-m", "runtime", "status", "generated/toy/plan.json", *words, environment=environment
        )

    assert "nothing starts before toy-canary has succeeded" in status().out
    assert json.loads(status("--json").out)["gate"] == {"study": "toy-canary", "done": False}
    study.finish("toy-canary", "report/toy-canary")
    assert "toy-canary" not in status().out
    assert json.loads(status("--json").out)["gate"] == {"study": "toy-canary", "done": True}


def test_on_this_machine_the_canary_runs_first_and_its_failure_stops_the_study(tmp_path: Path) -> None:
    project = gated(tmp_path / "project", "here")
    store = tmp_path / "store"
    done = project.shell("bash", "generated/submit_all.sh", "toy", environment={"LETHE_STORE": str(store), "LETHE_COLD": "1"})
    assert done.code == 1 and "Nothing of toy was started." in done.err
    assert (store / "ledger/toy-canary.tsv").is_file() and not (store / "ledger/toy.tsv").exists()


# --- asking about a canary --------------------------------------------------------------------------------------------------


def test_a_canarys_values_are_explained_with_what_the_study_says(study: Gated) -> None:
    found = study.project.lethe("explain", "specs/toy.yaml", "train/gt_sft_sums_base_nano", "steps", "--canary", "--json")
    assert found.code == 0, found.err
    (value,) = json.loads(found.out)
    assert value["value"] == 2 and value["chain"][-1]["source"] == "canary"


def test_a_line_of_its_files_is_explained_as_its_own(study: Gated) -> None:
    name = next(path for path in (study.project.generated / "toy-canary/configs/train").glob("gt_sft_*.yaml"))
    lines = name.read_text().splitlines()
    number = 1 + next(n for n, line in enumerate(lines) if "max_steps: 2" in line)
    found = study.project.lethe("explain", f"{name.relative_to(study.project.root)}:{number}")
    assert found.code == 0 and "canary" in found.out and "was edited" not in found.out


def test_the_status_of_a_canary_that_is_not_compiled_says_how_to(project: Project) -> None:
    found = project.lethe("status", "specs/toy.yaml", "--canary")
    assert found.code == 1 and "First: lethe canary specs/toy.yaml" in found.err
