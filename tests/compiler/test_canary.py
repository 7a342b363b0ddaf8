"""`lethe canary`: a few cells that go through everything the study goes through, with two steps each."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.canary.cover import cover
from tests.compiler.project import REPOSITORY, Project
from tests.compiler.small import AXES, BASE, jobs, validate

# --- the fewest cells -----------------------------------------------------------------------------------------------------

sets = st.dictionaries(st.integers(0, 30), st.frozensets(st.integers(0, 12)), max_size=12)


@given(sets)
def test_what_is_chosen_holds_everything_and_none_of_it_is_needless(given: dict[int, frozenset[int]]) -> None:
    chosen = cover(given)
    assert frozenset().union(*(given[name] for name in chosen)) == frozenset().union(*given.values())
    for name, alone in chosen.items():
        others = frozenset().union(*(given[other] for other in chosen if other != name))
        assert alone == given[name] - others and alone


@given(st.integers(1, 40), st.integers(1, 40))
def test_of_a_product_of_two_axes_it_is_the_longer_one(methods: int, domains: int) -> None:
    cells = {(m, d): frozenset([("method", m), ("domain", d)]) for m in range(methods) for d in range(domains)}
    assert len(cover(cells)) == max(methods, domains)


def test_of_equals_the_first_is_chosen() -> None:
    assert list(cover({"b": frozenset("x"), "a": frozenset("x"), "c": frozenset("y")})) == ["b", "c"]


# --- the cells of a study -------------------------------------------------------------------------------------------------


def canary(project: Project, spec: str = "specs/toy.yaml") -> dict[str, Any]:
    """The canary's plan."""
    done = project.lethe("canary", spec, "--json")
    assert done.code == 0, done.out + done.err
    found: dict[str, Any] = json.loads((project.root / json.loads(done.out)["folder"] / "plan.json").read_text())
    return found


def needed(found: dict[str, Any], cells: set[str]) -> list[dict[str, Any]]:
    """Every job that some cells need."""
    by_id = {job["id"]: job for job in found["jobs"]}
    ahead = [
        job for cell in found["cells"] if cell["id"] in cells for job in (*cell["before"].values(), *cell["after"].values())
    ]
    seen: dict[str, dict[str, Any]] = {}
    while ahead:
        job = by_id[ahead.pop()]
        if job["id"] not in seen:
            seen[job["id"]] = job
            ahead += [edge["job"] for edge in job["inputs"]]
    return list(seen.values())


def through(found: dict[str, Any], cells: set[str]) -> dict[str, set[str]]:
    """What cells go through."""
    whole, own = needed(found, cells), [cell for cell in found["cells"] if cell["id"] in cells]
    return {
        "axes": {f"{axis}={value}" for cell in own for axis, value in cell["axes"].items()},
        "suites": {suite for cell in own for suite in cell["after"]},
        "backends": {f"{job['backend']} {job['what']}" for job in whole}, "kinds": {job["kind"] for job in whole},
    }  # fmt: skip


def test_its_cells_go_through_every_axis_value_suite_backend_and_kind(shared: Project) -> None:
    chosen = {cell["id"] for cell in canary(shared)["cells"]}
    whole = shared.plan()
    everything = {cell["id"] for cell in whole["cells"]}
    assert through(whole, chosen) == through(whole, everything)
    assert len(chosen) == 4 and chosen < everything  # there are four methods


@pytest.mark.parametrize("study", ["phase1", "adapters", "micro_chains", "tofu", "real_study"])
def test_whatever_stands_in_a_script_or_config_of_the_study_stands_in_one_of_its_canary(study: str, tmp_path: Path) -> None:
    """Told by the lines that files are made of, each without its value."""
    project, spec = Project(tmp_path), str(REPOSITORY / f"specs/{study}.yaml")
    assert project.lethe("compile", spec).code == 0
    few = canary(project, spec)
    assert len(few["cells"]) < len(json.loads((project.generated / study / "plan.json").read_text())["cells"])
    assert lines(project.generated / study) == lines(project.generated / f"{study}-canary")


def lines(folder: Path) -> dict[str, set[str]]:
    """Of the configs and scripts of every kind but those that list tasks and cells, what stands before the values."""
    found: dict[str, set[str]] = {}
    for path in [*folder.glob("configs/*/*.yaml"), *folder.glob("jobs/*/*.sh")]:
        if path.parent.name not in ("report", "mix", "evaluate"):
            said = [line for line in path.read_text().splitlines() if not line.startswith("#")]
            before = {re.sub(r"\d+", "N", re.split(r"[:=]", line)[0]) for line in said}
            found.setdefault(f"{path.parent.name}{path.suffix}", set()).update(before)
    return found


def test_a_branch_that_needs_two_values_at_once_is_gone_through(project: Project) -> None:
    """An adapter is written into VeRL's config, and merged after TRL's training: each method must have one."""
    axes = {**AXES, "method": ["gt_sft", "off_rl"], "domain": ["math"], "scale": ["1.7b"], "adapter": ["full", "lora"]}
    catalog = [str(REPOSITORY / "specs/catalog")]
    spec = {**BASE, "cluster": "mila", "catalog": catalog, "axes": axes, "evaluate": {"suites": ["domains"]}}
    project.spec.write_text(json.dumps(spec))
    chosen = {cell["id"] for cell in canary(project)["cells"]}
    assert len(chosen) == 3 and {"gt_sft_math_base_1.7b_lora", "off_rl_math_base_1.7b_lora"} < chosen


def test_a_study_of_one_cell_is_its_own_canary(project: Project) -> None:
    assert validate(project).code == 0
    assert [cell["id"] for cell in canary(project)["cells"]] == ["gt_sft_sums_base_nano"]


# --- small ----------------------------------------------------------------------------------------------------------------


def test_trainings_take_two_steps_and_tasks_few_questions(shared: Project) -> None:
    jobs = canary(shared)["jobs"]
    assert {job["kind"] for job in jobs} >= {"train", "generate", "evaluate"}
    for job in jobs:
        if job["kind"] == "train":
            assert (job["settings"]["steps"], job["settings"]["epochs"]) == (2, None)
            assert job["provenance"]["steps"] == "canary" and job["cost"]["steps"] == 2
        if job["kind"] == "generate":
            assert job["settings"]["prompts"] == 32  # four batches of 8; the study asks 40 and 50
        if job["kind"] == "evaluate":
            assert {task["items"] for task in job["settings"]["tasks"]} == {8}


def test_what_the_study_prepares_is_prepared_once_for_both(shared: Project) -> None:
    whole = shared.jobs()
    common = [job for job in canary(shared)["jobs"] if job["kind"] in ("prepare", "fetch", "pretrain")]
    assert common
    assert [job["fingerprint"] for job in common] == [whole[job["id"]]["fingerprint"] for job in common]
    assert "Shared with study toy-canary" in shared.lethe("compile", "specs/toy.yaml").out


def test_suites_with_a_limit_of_their_own_get_a_smaller_one(tmp_path: Path) -> None:
    project = Project(tmp_path)
    jobs = canary(project, str(REPOSITORY / "specs/phase1.yaml"))["jobs"]
    assert {job["settings"]["limit"] for job in jobs if job["backend"] == "lm_eval"} == {8}


def test_checkpoints_along_the_way_are_those_that_two_steps_leave(project: Project) -> None:
    stages = [{"algorithm": "sft", "dataset": "truth"}, {"algorithm": "grpo", "dataset": "prompts", "init_from": {"step": 15}}]
    changes: dict[str, Any] = {
        "axes": {**AXES, "method": ["branched"]}, "define": {"methods": {"branched": {"about": "x", "stages": stages}}},
        "evaluate": {"suites": ["harm"], "checkpoints": {"steps": [3, 7]}},
    }  # fmt: skip
    found = validate(project, **changes)
    assert found.code == 0, found.err
    small = canary(project)
    assert [point["step"] for point in small["cells"][0]["points"]] == [1]
    assert jobs(small, "pick")["branched_sums_base_nano.1_sft.step1"]["settings"] == {"step": 1}


def test_what_the_study_promises_of_numbers_binds_only_the_study(project: Project) -> None:
    """Two steps of 8 and of 16 rows are no equal number of rows, as 20 and 10 are."""
    axes = {**AXES, "pace": {"many": {"steps": 20, "batch_size": 8}, "large": {"steps": 10, "batch_size": 16}}}
    match = [{"same": "examples", "across": ["pace"], "why": "so"}]
    assert validate(project, axes=axes, match=match).code == 0
    assert [job["cost"]["steps"] for job in jobs(canary(project), "train").values()] == [2, 2]


def test_a_lock_holds_for_the_canary_too(project: Project) -> None:
    assert validate(project, axes={**AXES, "scale": ["hub"]}).code == 0
    (project.root / "specs/toy.lock").write_text(
        f"lethe: 1\nstudy: toy\nmodels: {{Example/Small-Base: {{main: {'a' * 40}}}}}\n"
    )
    assert jobs(canary(project), "fetch")["base_hub"]["settings"]["revision"] == "a" * 40


# --- the verb -------------------------------------------------------------------------------------------------------------


def test_it_is_a_study_of_its_own_beside_the_other(compiled: Project) -> None:
    before = {name: content for name, content in compiled.files().items() if name.startswith("toy/")}
    done = compiled.lethe("canary", "specs/toy.yaml")
    assert done.code == 0 and done.out == (
        "generated/toy-canary: 4 of 14 cells, 26 jobs, written.\n"
        "Run it first: bash generated/submit_all.sh toy-canary\n"
    )  # fmt: skip
    assert {name: content for name, content in compiled.files().items() if name.startswith("toy/")} == before
    assert "unchanged" in compiled.lethe("canary", "specs/toy.yaml").out
    (compiled.generated / "toy-canary/PLAN.md").write_text("mine")
    assert compiled.lethe("canary", "specs/toy.yaml").code == 1
    assert compiled.lethe("canary", "specs/toy.yaml", "--overwrite").code == 0


def test_cells_says_what_each_is_there_for_and_writes_nothing(project: Project) -> None:
    done = project.lethe("canary", "specs/toy.yaml", "--cells")
    assert done.out.startswith("4 of 14 cells of toy go through all that it goes through:\n")
    assert "    only here: axis method=on_rl\n" in done.out
    found = json.loads(project.lethe("canary", "specs/toy.yaml", "--cells", "--json").out)
    assert (found["of"], found["of_cells"], len(found["cells"])) == ("toy", 14, 4)
    for cell in found["cells"]:
        assert cell["cell"] in done.out and cell["only"].keys() <= cell["covers"].keys()
        assert "templates/" not in str(cell) and "job.sh.j2:1" in cell["covers"]["line"]
    assert not project.generated.exists()


def test_it_is_the_same_every_time(project: Project) -> None:
    said = set()
    for seed in ("1", "2", "3"):
        asked = (sys.executable, "-m", "compiler.cli", "canary", "specs/toy.yaml", "--cells", "--json")
        done = project.shell(*asked, environment={"PYTHONHASHSEED": seed})
        said.add((done.code, done.out))
    assert len(said) == 1 and next(iter(said))[0] == 0


def test_a_wrong_spec_is_told_as_by_compile(project: Project) -> None:
    assert validate(project, cluster="nowhere").code == 1
    done = project.lethe("canary", "specs/toy.yaml")
    assert done.code == 1 and done.err == project.lethe("compile", "specs/toy.yaml").err


@pytest.mark.slow
def test_the_canary_of_the_miniature_runs(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for name in (".venv", "compiler", "requirements", "runtime", "templates"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    shutil.copytree(REPOSITORY / "specs", tmp_path / "specs")
    without_teachers = "[gt_sft, self, on_rl, off_rl]"
    project.edit("micro.yaml", "[gt_sft, sf_sft, cf_sft, self, on_rl, off_rl, pi]", without_teachers)
    assert project.lethe("canary", "specs/micro.yaml").code == 0
    store = {"LETHE_STORE": str(tmp_path / "store")}
    done = project.shell("bash", "generated/submit_all.sh", "micro-canary", "--yes", environment=store)
    assert done.code == 0 and "all 44 jobs are done" in done.out + done.err, done.out + done.err
    reports = list((tmp_path / "store/report").glob("micro-canary-*/report.json"))
    assert len(reports) == 1
