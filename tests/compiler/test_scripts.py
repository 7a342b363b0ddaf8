"""The generated scripts: readable, clean under shellcheck, and unmoved by hostile values.

The golden files in `golden/` are one of each kind of generated file, for reviewers to see what a change of a template does.
To write them again: LETHE_GOLDEN=write python -m pytest tests/compiler/test_scripts.py
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from compiler.text import yaml_flow
from tests.compiler.project import BIN, REPOSITORY, Project

GOLDEN = Path(__file__).parent / "golden"
CLUSTERS = ["here", "gres_site", "node_site"]
PLACES = "catalog/places.yaml"


@pytest.fixture(scope="module", params=CLUSTERS)
def on_cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return made(tmp_path_factory.mktemp("cluster") / "project", request.param)


def made(root: Path, cluster: str) -> Project:
    """The toy study, compiled for a cluster; for Slurm's, with tracking."""
    project = Project.make(root)
    if cluster != "here":
        project.edit("toy.yaml", "cluster: here", f"cluster: {cluster}")
        project.edit("toy.yaml", "wandb: disabled", "wandb: offline\n  project: toys")
    project.compile()
    (root / "runtime").symlink_to(REPOSITORY / "runtime")
    return project


@pytest.mark.parametrize(
    ("golden", "cluster", "file"),
    [
        ("gres_train.sh", "gres_site", "toy/jobs/train/gt_sft_facts_base_nano.sh"),
        ("gpus_per_node_train.sh", "node_site", "toy/jobs/train/gt_sft_facts_base_nano.sh"),
        ("local_evaluate.sh", "here", "toy/jobs/evaluate/gt_sft_facts_base_nano.skills.sh"),
        ("train.json", "gres_site", "toy/jobs/train/gt_sft_facts_base_nano.json"),
        ("train.yaml", "gres_site", "toy/configs/train/gt_sft_facts_base_nano.yaml"),
        ("study_submit_all.sh", "gres_site", "toy/submit_all.sh"),
        ("submit_all.sh", "gres_site", "submit_all.sh"),
        ("PLAN.md", "gres_site", "toy/PLAN.md"),
    ],
)
def test_generated_files_are_the_golden_ones(golden: str, cluster: str, file: str, tmp_path: Path) -> None:
    found = (made(tmp_path / "project", cluster).generated / file).read_text(encoding="utf-8")
    if os.environ.get("LETHE_GOLDEN") == "write":
        (GOLDEN / golden).write_text(found, encoding="utf-8")
    assert found == (GOLDEN / golden).read_text(encoding="utf-8")


def scripts(project: Project) -> list[Path]:
    return sorted(project.generated.rglob("*.sh"))


def test_bash_reads_every_script(on_cluster: Project) -> None:
    for script in scripts(on_cluster):
        done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_shellcheck_finds_nothing(on_cluster: Project) -> None:
    """In every script that differs in more than names from those before it."""
    names = "|".join(sorted((name.split("/")[1] for name in on_cluster.jobs()), key=len, reverse=True))
    kinds = {re.sub(f"[0-9a-f]{{8,}}|{names}", "", script.read_text()): script for script in scripts(on_cluster)}
    assert len(kinds) >= 8
    command = [str(BIN / "shellcheck"), "--external-sources", "--severity=style", *map(str, kinds.values())]
    done = subprocess.run(command, cwd=on_cluster.root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_job_asks_slurm_for_its_resources(on_cluster: Project) -> None:
    for name, job in on_cluster.jobs().items():
        script = (on_cluster.tree / f"jobs/{name}.sh").read_text()
        asked = dict(re.findall(r"^#SBATCH --([a-z-]+)=(.*)$", script, re.MULTILINE))
        resources = job["resources"]
        assert asked["job-name"] == f"toy.{name.replace('/', '.', 1)}.{job['fingerprint'][:8]}"
        assert (asked["time"], asked["mem"], asked["cpus-per-task"]) == (
            resources["time"], resources["mem"], str(resources["cpus"]),
        )  # fmt: skip
        assert asked.get("partition") == resources["partition"]
        gpus = asked.get("gres", asked.get("gpus-per-node", "")).removeprefix("gpu:")
        assert gpus == (":".join(filter(None, [resources["gpu"], str(resources["gpus"])])) if resources["gpus"] else "")


def test_curves_are_reported_under_the_cells_name(on_cluster: Project) -> None:
    for name, job in on_cluster.jobs().items():
        script = (on_cluster.tree / f"jobs/{name}.sh").read_text()
        tracked = on_cluster.plan()["executor"] == "slurm" and job["kind"] == "train"
        assert ("WANDB_MODE" in script) == tracked
        assert not tracked or f"WANDB_PROJECT=toys WANDB_NAME={name.split('/')[1]}\n" in script


def environment_of(project: Project, name: str, **variables: str) -> dict[str, str]:
    """What a job's script has exported by the time that it calls python."""
    fake = project.root / "bin"
    fake.mkdir(exist_ok=True)
    (fake / "python").write_text('#!/bin/bash\nenv -0\nprintf "CALLED=%s\\0" "$*"\n')
    (fake / "python").chmod(0o755)
    inherited = {"PATH": f"{fake}:/usr/bin:/bin", "HOME": "/home/me", "SLURM_SUBMIT_DIR": str(project.root)}
    done = subprocess.run(
        ["bash", str(project.tree / f"jobs/{name}.sh")], env=inherited | variables, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return dict(pair.split("=", 1) for pair in done.stdout.split("\0") if "=" in pair)


HOSTILE = {
    "QUOTES": "it's \"five\" o'clock", "COMMAND": "$(touch pwned) `touch pwned`", "MONEY": "100% of $5, $", "BLANKS": "  a  b ",
    "GLOB": "* ? [a] ~ !x", "LINES": "a\nb", "ESCAPES": "\\n \\$HOME \\\\", "WITH_HOME": "$HOME/x:${HOME}", 
    "UNICODE": "é\U0001f600",
    "NESTED": "${HOME:-$(touch pwned)}",
}  # fmt: skip


def test_hostile_values_arrive_as_they_are_and_run_nothing(project: Project) -> None:
    lines = "".join(f"          {name}: {yaml_flow(text)}\n" for name, text in HOSTILE.items())
    project.edit(
        PLACES,
        '        activate: ".venv/bin/activate"\n        exports: {OMP_NUM_THREADS: "1"}',
        f"        exports:\n{lines[:-1]}",
    )
    project.edit(PLACES, '    store: "$LETHE_ROOT/store"', '    store: "$HOME/a b/}\'$(touch pwned)"')
    project.compile()
    found = environment_of(project, "evaluate/gt_sft_sums_base_nano.skills")
    assert {name: found[name] for name in HOSTILE} == {
        **HOSTILE, "WITH_HOME": "/home/me/x:/home/me", "ESCAPES": "\\n \\/home/me \\\\",
    }  # fmt: skip
    assert found["LETHE_STORE"] == "/home/me/a b/}'$(touch pwned)"
    assert found["LETHE_OUT"].startswith("/home/me/a b/}'$(touch pwned)/evaluate/gt_sft_sums_base_nano.skills-")
    assert found["CALLED"] == f"-m runtime evaluate {found['LETHE_CONTRACT']}"
    assert found["LETHE_CONTRACT"] == str(project.tree / "jobs/evaluate/gt_sft_sums_base_nano.skills.json")
    assert found["LETHE_CONFIG"] == str(project.tree / "configs/evaluate/gt_sft_sums_base_nano.skills.yaml")
    assert not list(project.root.rglob("pwned"))


def test_the_store_of_the_shell_goes_before_the_clusters(project: Project) -> None:
    project.edit(PLACES, '        activate: ".venv/bin/activate"\n', "")
    project.compile()
    found = environment_of(project, "prepare/sums", LETHE_STORE="/my store")
    assert found["LETHE_STORE"] == "/my store"
    assert found["LETHE_OUT"] == f"/my store/prepare/sums-{project.jobs()['prepare/sums']['fingerprint'][:12]}"


def test_modules_are_loaded_and_variables_unset_before_the_job(project: Project) -> None:
    project.edit("toy.yaml", "cluster: here", "cluster: node_site")
    project.edit(PLACES, "modules: [StdEnv/2023, python/3.11]", 'modules: [StdEnv/2023, "a b;c"]\n        unsets: [GONE]')
    project.compile()
    (project.root / "functions").write_text('module() { export LOADED="${LOADED:-}$(printf "%s|" "$@")"; }\n')
    found = environment_of(project, "prepare/sums", BASH_ENV=str(project.root / "functions"), GONE="here")
    assert found["LOADED"] == "load|StdEnv/2023|a b;c|"
    assert "GONE" not in found


def test_an_account_is_asked_for_where_the_cluster_names_one(on_cluster: Project) -> None:
    account = "#SBATCH --account=def-somebody\n" in (on_cluster.tree / "jobs/prepare/sums.sh").read_text()
    assert account == (on_cluster.plan()["cluster"] == "node_site")
