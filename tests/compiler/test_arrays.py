"""Which jobs a compiled study submits as arrays, where its cluster allows them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.compiler.project import BIN, REPOSITORY, Project

LINE = re.compile(
    r"submit (\S+) (\w+)(?: in (\S+) (\d+))?(?: steps(?: \d+)+)?(?: after((?: [\w./-]+/\S+)+))?(?: ended((?: \S+)+))?$"
)
MOST = 3


@pytest.fixture(scope="module")
def arrayed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.make(tmp_path_factory.mktemp("arrays") / "project")
    project.edit("toy.yaml", "cluster: here", "cluster: gres_site")
    project.edit(
        "catalog/places.yaml",
        "    gpu_request: gres\n",
        f"    gpu_request: gres\n    arrays: {{at_once: 2, most: {MOST}}}\n",
    )
    project.compile()
    (project.root / "runtime").symlink_to(REPOSITORY / "runtime")
    return project


def lines(project: Project) -> list[re.Match[str]]:
    """The submit lines."""
    text = (project.tree / "submit_all.sh").read_text().splitlines()
    found = [LINE.match(line) for line in text if line.startswith("submit ")]
    assert None not in found
    return [line for line in found if line]


def arrays(project: Project) -> dict[str, dict[int, str]]:
    found: dict[str, dict[int, str]] = {}
    for line in lines(project):
        if line[3]:
            found.setdefault(line[3], {})[int(line[4])] = line[1]
    return found


def asked(project: Project, script: str) -> list[str]:
    text = (project.tree / script).read_text()
    return [line for line in text.splitlines() if line.startswith("#SBATCH") and "--job-name" not in line]


def test_every_job_has_its_line_whether_in_an_array_or_not(arrayed: Project) -> None:
    assert sorted(line[1] for line in lines(arrayed)) == sorted(arrayed.jobs())
    found = arrays(arrayed)
    assert len(found) >= 3
    assert all(1 < len(members) <= MOST and max(members) < MOST for members in found.values())


def test_parents_stand_before_their_children_and_elements_together(arrayed: Project) -> None:
    seen, places = set[str](), dict[str, list[int]]()
    for place, line in enumerate(lines(arrayed)):
        assert {*(line[5] or "").split(), *(line[6] or "").split()} <= seen
        seen.add(line[1])
        if line[3]:
            places.setdefault(line[3], []).append(place)
    assert all(numbers == list(range(numbers[0], numbers[0] + len(numbers))) for numbers in places.values())


def test_elements_are_alike(arrayed: Project) -> None:
    jobs = arrayed.jobs()
    for name, members in arrays(arrayed).items():
        assert len({(jobs[job]["kind"], jobs[job]["environment"]) for job in members.values()}) == 1
        for job in members.values():
            assert asked(arrayed, f"arrays/{name}.sh") == asked(arrayed, f"jobs/{job}.sh")


def test_elements_wait_for_the_same_or_each_for_its_own(arrayed: Project) -> None:
    after = {line[1]: set((line[5] or "").split()) for line in lines(arrayed)}
    seat = {job: (name, index) for name, members in arrays(arrayed).items() for index, job in members.items()}
    for members in arrays(arrayed).values():
        common = set.intersection(*(after[job] for job in members.values()))
        for index, job in members.items():
            assert all(seat[parent][1] == index for parent in after[job] - common)
        assert len({frozenset(seat[p][0] for p in after[job] - common) for job in members.values()}) == 1


def test_an_element_runs_the_script_of_its_job(arrayed: Project, tmp_path: Path) -> None:
    """With a log under the job's own name, which leads to the array's."""
    name, members = next(iter(arrays(arrayed).items()))
    index, job = next(iter(members.items()))
    root, store = tmp_path / "a 'root'", tmp_path / "a store"
    script = root / "generated/toy/jobs" / f"{job}.sh"
    script.parent.mkdir(parents=True)
    script.write_text('echo "$0"\n')
    ids = {"SLURM_ARRAY_TASK_ID": str(index), "SLURM_ARRAY_JOB_ID": "7", "LETHE_ROOT": str(root), "LETHE_STORE": str(store)}
    done = run(arrayed.tree / f"arrays/{name}.sh", ids)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{script}\n", "")
    link = store / "logs/toy" / f"{job.replace('/', '.')}-7_{index}.out"
    assert str(link.readlink()) == f"{name}-7_{index}.out"
    assert run(arrayed.tree / f"arrays/{name}.sh", {**ids, "SLURM_ARRAY_TASK_ID": "999"}).returncode == 70


def run(script: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(script)], env={"PATH": "/usr/bin:/bin", **environment}, capture_output=True, text=True, check=False
    )


def test_an_array_without_a_change_in_it_keeps_its_name(arrayed: Project, tmp_path: Path) -> None:
    """And one with a change gets another, so that no element is taken for what it was."""
    other = Project.make(tmp_path / "project")
    for file in ("toy.yaml", "catalog/places.yaml"):
        (other.root / "specs" / file).write_text((arrayed.root / "specs" / file).read_text())
    other.edit("catalog/places.yaml", "at_once: 2", "at_once: 3")
    other.compile()
    assert arrays(other) == arrays(arrayed)
    other.edit("toy.yaml", "lr: 5e-4", "lr: 6e-4")
    other.compile()
    before, after = arrayed.jobs(), other.jobs()
    changed = {job for job in after if before[job]["fingerprint"] != after[job]["fingerprint"]}
    kept = {name for name, members in arrays(other).items() if not changed & set(members.values())}
    assert changed and kept
    assert {name for name in arrays(other) if name in arrays(arrayed)} == kept


def test_without_arrays_the_cluster_gets_each_job_by_itself(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "project")
    project.edit("toy.yaml", "cluster: here", "cluster: gres_site")
    project.compile()
    assert arrays(project) == {}
    assert not (project.tree / "arrays").exists()
    assert "most_submitted=1000\n" in (project.tree / "submit_all.sh").read_text()


def test_the_scripts_are_clean(arrayed: Project) -> None:
    scripts = [*(arrayed.tree / "arrays").iterdir(), arrayed.tree / "feed.sh", arrayed.tree / "submit_all.sh"]
    command = [str(BIN / "shellcheck"), "--external-sources", "--severity=style", *map(str, scripts)]
    done = subprocess.run(command, cwd=arrayed.root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_simulated_cluster_runs_all_of_it(arrayed: Project, tmp_path: Path) -> None:
    words = ["simulate", "specs/toy.yaml", "--fail=train/gt_sft_*=FAILED", "--kill-submitter=5"]
    environment = {"PYTHONPATH": str(REPOSITORY), "SCRATCH": str(tmp_path)}
    result = arrayed.shell(sys.executable, "-m", "compiler.cli", *words, environment=environment)
    assert (result.code, result.err) == (0, "")
    assert "none submitted twice" in result.out and result.out.endswith("after which all is done\n")


def test_its_lines_can_be_explained(arrayed: Project) -> None:
    name, members = next(iter(arrays(arrayed).items()))
    text = (arrayed.tree / f"arrays/{name}.sh").read_text().splitlines()
    number = next(n for n, line in enumerate(text, start=1) if line.startswith("#SBATCH --mem="))
    told = arrayed.lethe("explain", f"generated/toy/arrays/{name}.sh:{number}")
    assert told.code == 0, told.err
    assert "resources" in told.out and arrayed.jobs()[members[0]]["resources"]["mem"] in told.out
    told = arrayed.lethe("explain", "generated/toy/feed.sh:2")
    assert told.code == 0, told.err
    assert "study" in told.out
    submit = (arrayed.tree / "submit_all.sh").read_text().splitlines()
    for line, said in (("at_once=2", "arrays.at_once"), ("most_submitted=1000", "limits.submitted")):
        told = arrayed.lethe("explain", f"generated/toy/submit_all.sh:{submit.index(line) + 1}")
        assert (told.code, said in told.out) == (0, True), told.out + told.err
