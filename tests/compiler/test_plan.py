"""The plan: a typed graph in dependency order, and the files that say the same."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from compiler.backends import part
from compiler.diagnostics import Position
from tests.compiler.project import REPOSITORY, Project

ROWS, MODEL = "dataset.rows", "checkpoint.hf"
# What each kind of job reads by name; None is every other name, those of the domains.
READS: dict[str, dict[str | None, str]] = {
    "preflight": {},
    "prepare": {},
    "fetch": {},
    "pretrain": {None: ROWS, "start": MODEL},
    "generate": {"model": MODEL, "rows": ROWS},
    "build": {"rows": ROWS, "traces": "traces", "traces_before": "traces"},
    "mix": {None: "dataset.*"},
    "train": {"start": MODEL, "data": "dataset.*"},
    "convert": {"shards": "checkpoint.shards"},
    "merge": {"start": MODEL, "adapter": "checkpoint.adapter"},
    "pick": {"run": MODEL},
    "evaluate": {"model": MODEL, "start": MODEL, "reference": "scores", None: ROWS},
    "report": {None: "scores"},
}
OPTIONAL = {"start", "traces", "traces_before", "reference"}
STUDIES = ["toy", "micro", "phase1", "phase2", "micro_chains", "real_study", "backlog", "tofu", "tofu_finetune", "muse"]


@pytest.fixture(scope="module", params=STUDIES)
def plan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The plan of the toy study and of each real one."""
    if request.param == "toy":
        return Project.make(tmp_path_factory.mktemp("plan") / "project").compile()
    project = Project(tmp_path_factory.mktemp("plan"))
    result = project.lethe("compile", str(REPOSITORY / "specs" / f"{request.param}.yaml"))
    assert result.code == 0, result.err
    found: dict[str, Any] = json.loads((project.generated / request.param / "plan.json").read_text())
    return found


def test_every_edge_has_the_type_that_its_reader_expects(plan: dict[str, Any]) -> None:
    jobs = {job["id"]: job for job in plan["jobs"]}
    for job in plan["jobs"]:
        expected = READS[job["kind"]]
        for edge in job["inputs"]:
            maker = jobs[edge["job"]]
            assert edge["type"] == maker["output"]
            assert edge["fingerprint"] == maker["fingerprint"]
            assert edge["path"] == f"{maker['id']}-{maker['fingerprint'][:12]}"
            wanted = expected.get(edge["name"], expected.get(None))
            if job["kind"] == "train" and wanted == "dataset.*":
                wanted = part(job["backend"], job["what"], Position(job["id"])).reads
            if job["kind"] == "mix":
                wanted = job["output"]
            assert edge["type"] == wanted, (job["id"], edge)
        named = {edge["name"] for edge in job["inputs"]}
        assert len(named) == len(job["inputs"])
        assert named >= {name for name in expected if name} - OPTIONAL


def test_jobs_stand_after_what_they_read(plan: dict[str, Any]) -> None:
    seen: set[str] = set()
    for job in plan["jobs"]:
        assert {edge["job"] for edge in job["inputs"]} <= seen
        assert job["id"] not in seen
        seen.add(job["id"])
    assert plan["jobs"][-1]["kind"] == "report"


def test_every_job_but_the_report_serves_another(plan: dict[str, Any]) -> None:
    read = {edge["job"] for job in plan["jobs"] for edge in job["inputs"]}
    read |= {before for job in plan["jobs"] for before in job["after"]}
    assert {job["id"] for job in plan["jobs"]} - read == {f"report/{plan['study']}"}


def test_a_job_waits_for_success_and_the_report_only_for_the_end(plan: dict[str, Any]) -> None:
    for job in plan["jobs"]:
        assert {edge["required"] for edge in job["inputs"]} <= {job["kind"] != "report"}


def test_cells_have_names_of_their_own_and_a_training_and_measurements_each(plan: dict[str, Any]) -> None:
    jobs = {job["id"]: job for job in plan["jobs"]}
    assert len({cell["id"] for cell in plan["cells"]}) == len(plan["cells"])
    for cell in plan["cells"]:
        trained = jobs[cell["train"]]
        assert trained["output"] == MODEL
        for suite, name in cell["after"].items():
            assert jobs[name]["inputs"][0]["job"] == cell["train"] and jobs[name]["settings"]["suite"] == suite
        for suite, name in cell["before"].items():
            assert jobs[name]["kind"] == "evaluate" and jobs[name]["settings"]["suite"] == suite
            assert jobs[name]["inputs"][0]["job"].split("/")[0] in ("pretrain", "fetch", "train")


def test_the_report_is_told_of_every_cell(plan: dict[str, Any]) -> None:
    report = plan["jobs"][-1]
    assert [cell["id"] for cell in report["settings"]["cells"]] == [cell["id"] for cell in plan["cells"]]
    ends = {job for cell in plan["cells"] for job in (*cell["before"].values(), *cell["after"].values())}
    measured = ends | {job for cell in plan["cells"] for point in cell["points"] for job in point["after"].values()}
    measured |= {job for cell in plan["cells"] for at in (cell, *cell["points"]) for job in at["divergence"].values()}
    told = [cell.get("reference", {}) for cell in report["settings"]["cells"]]
    measured |= {job for reference in told for job in reference.get("evaluations", {}).values()}
    assert {edge["job"] for edge in report["inputs"]} == measured


def test_the_toy_study_has_these_cells_and_jobs(shared: Project) -> None:
    plan = shared.plan()
    assert [cell["id"] for cell in plan["cells"]] == [
        f"{method}_{domain}_{start}_nano"
        for method in ("gt_sft", "rs_sft", "on_rl", "staged")
        for domain in ("sums", "facts")
        for start in ("base", "safe")
        if (method, start) != ("staged", "safe")
    ]
    kinds = Counter(job["kind"] for job in plan["jobs"])
    assert kinds == {"prepare": 3, "pretrain": 2, "generate": 4, "build": 8, "train": 15, "evaluate": 32, "report": 1}
    assert [(rule["name"], rule["action"], rule["touched"]) for rule in plan["rules"]] == [
        ("staged_from_base_only", "drop", 2), ("gentler_facts", "set", 2),
    ]  # fmt: skip


def test_a_keep_rule_says_how_many_cells_it_took(project: Project) -> None:
    project.edit(
        "toy.yaml", "  - set: gentler", "  - keep: sums_only\n    where: {domain: [sums]}\n    why: so\n  - set: gentler"
    )
    project.edit("toy.yaml", "      domain: facts\n", "      domain: sums\n")
    plan = project.compile()
    assert [(rule["name"], rule["touched"]) for rule in plan["rules"]] == [
        ("staged_from_base_only", 2), ("sums_only", 7), ("gentler_facts", 2),
    ]  # fmt: skip
    assert {cell["axes"]["domain"] for cell in plan["cells"]} == {"sums"}


def test_settings_come_from_the_algorithm_then_the_domain_the_method_and_the_rules(shared: Project) -> None:
    jobs = shared.jobs()
    assert jobs["train/gt_sft_sums_base_nano"]["settings"]["lr"] == 1e-3
    assert jobs["train/gt_sft_facts_base_nano"]["settings"]["lr"] == 5e-4
    assert jobs["train/staged_facts_base_nano.1_sft"]["settings"]["lr"] == 1e-3
    assert jobs["train/staged_facts_base_nano"]["settings"]["lr"] == 2e-5
    assert jobs["train/on_rl_facts_base_nano"]["settings"]["lr"] == 1e-4
    assert {jobs[f"train/gt_sft_{d}_base_nano"]["settings"]["max_length"] for d in ("sums", "facts")} == {64, 48}
    assert jobs["generate/own_answers_sums_base_nano"]["settings"]["prompts"] == 40
    assert jobs["train/on_rl_sums_base_nano"]["settings"]["grader"] == "math"


def test_models_of_the_hub_are_fetched_at_their_revision(project: Project) -> None:
    project.edit("toy.yaml", "scale: [nano]", "scale: [hub]")
    jobs = {job["id"]: job for job in project.compile()["jobs"]}
    assert jobs["fetch/base_hub"]["settings"].items() >= {"hub": "Example/Small-Base", "revision": "main"}.items()
    assert jobs["train/gt_sft_sums_base_hub"]["inputs"][0]["job"] == "fetch/base_hub"
    assert [edge["job"] for edge in jobs["train/gt_sft_sums_safe_hub"]["inputs"]] == ["fetch/safe_hub", "build/truth_sums"]


def test_a_teachers_answers_serve_every_cell_of_a_domain(project: Project) -> None:
    project.edit("catalog/recipes.yaml", "dataset: own_answers}", "dataset: taught}")
    project.edit("catalog/subjects.yaml", "own_answers: {prompts: 40}", "taught: {prompts: 40}")
    jobs = {job["id"]: job for job in project.compile()["jobs"]}
    readers = [name for name, job in jobs.items() if "build/taught_sums" in {edge["job"] for edge in job["inputs"]}]
    assert readers == ["train/rs_sft_sums_base_nano", "train/rs_sft_sums_safe_nano"]
    assert [edge["job"] for edge in jobs["generate/taught_sums"]["inputs"]] == ["fetch/big", "prepare/sums"]
    assert jobs["generate/taught_sums"]["settings"]["prompts"] == 40


def test_an_algorithm_takes_only_the_kind_of_dataset_that_it_trains_on(scratch: Project) -> None:
    scratch.edit(
        "catalog/recipes.yaml", "stages: [{algorithm: grpo, dataset: prompts}]", "stages: [{algorithm: grpo, dataset: truth}]"
    )
    result = scratch.lethe("compile", "specs/toy.yaml")
    assert result.errors == [
        "specs/catalog/recipes.yaml:10:41: error: algorithm 'grpo' trains on dataset.rl; dataset 'truth' is dataset.sft"
    ]
    assert "  hint: valid here: prompts\n" in result.err


# --- definitions ----------------------------------------------------------------------------------------------------------


def test_a_study_extends_a_definition_of_the_catalog(project: Project) -> None:
    project.add(
        "define:\n"
        "  clusters: {here: {extends: here, resources: {train: {mem: 9G}}}}\n"
        "  algorithms: {sft: {extends: sft, settings: {batch_size: 4}}}\n"
    )
    trained = {job["id"]: job for job in project.compile()["jobs"]}["train/gt_sft_sums_base_nano"]
    assert (trained["resources"]["mem"], trained["resources"]["time"]) == ("9G", "2:00:00")
    assert (trained["settings"]["batch_size"], trained["settings"]["lr"]) == (4, 1e-3)


def test_a_study_replaces_a_definition_of_the_catalog(project: Project) -> None:
    project.add(
        "define:\n  suites:\n    harm: {about: x, backend: native, domains: [refusals], resources: cpu, "
        "settings: {version: 2, max_new_tokens: 3, temperature: 0, seed: 1, batch: 1}}\n"
    )
    jobs = {job["id"]: job for job in project.compile()["jobs"]}
    assert jobs["evaluate/base_nano.harm"]["settings"]["version"] == 2


def test_definitions_extend_each_other_wherever_they_stand(project: Project) -> None:
    project.edit("toy.yaml", "cluster: here", "cluster: c")
    project.add(
        "define:\n  clusters:\n    c: {extends: b, about: third}\n    b: {extends: a, store: /b}\n"
        "    a: {extends: here, store: /a}\n"
    )
    assert (project.compile()["store"], project.compile()["executor"]) == ("/b", "local")


def test_definitions_that_extend_each_other_in_a_circle_are_refused(scratch: Project) -> None:
    scratch.add("define: {clusters: {a: {extends: b}, b: {extends: a}}}\n")
    result = scratch.lethe("compile", "specs/toy.yaml")
    assert [error.split("error: ")[1] for error in result.errors] == ["definitions extend each other in a circle: a -> b -> a"]


def test_later_folders_of_the_catalog_stand_on_top_of_earlier_ones(project: Project) -> None:
    more = project.root / "specs" / "more"
    more.mkdir()
    (more / "suites.yaml").write_text("suites: {harm: {extends: harm, settings: {seed: 9}}}\n")
    project.edit("toy.yaml", "cluster: here", "cluster: here\ncatalog: [catalog, more]")
    jobs = {job["id"]: job for job in project.compile()["jobs"]}
    assert jobs["evaluate/base_nano.harm"]["settings"]["seed"] == 9
    assert jobs["evaluate/base_nano.harm"]["settings"]["batch"] == 20


def test_a_definition_twice_in_one_folder_is_refused(scratch: Project) -> None:
    (scratch.root / "specs/catalog/again.yaml").write_text("teachers:\n  big: {about: x, hub: a/b, revision: main}\n")
    result = scratch.lethe("compile", "specs/toy.yaml")
    assert result.errors == ["specs/catalog/recipes.yaml:112:3: error: teacher 'big' is defined twice"]
    assert "  hint: first at specs/catalog/again.yaml:2:3\n" in result.err


def test_two_different_jobs_never_share_a_name(scratch: Project) -> None:
    """Dataset `a_b` of domain `c`, and dataset `a` of domain `b_c`, would."""
    scratch.edit("toy.yaml", "method: [gt_sft, rs_sft, on_rl, staged]", "method: [gt_sft, other, staged]")
    scratch.edit("toy.yaml", "domain: [sums, facts]", "domain: [sums, facts, more_sums]")
    scratch.add(
        "define:\n"
        "  domains: {more_sums: {extends: sums, settings: {seed: 5}}}\n"
        "  datasets: {truth_more: {extends: truth}}\n"
        "  methods: {other: {about: x, stages: [{algorithm: sft, dataset: truth_more}]}}\n"
    )
    result = scratch.lethe("compile", "specs/toy.yaml")
    assert [error.split("error: ")[1] for error in result.errors] == [
        "two different jobs would have the name 'build/truth_more_sums'"
    ]


# --- the files that say the same ------------------------------------------------------------------------------------------


def test_contracts_say_what_the_plan_says(shared: Project) -> None:
    for name, job in shared.jobs().items():
        contract = json.loads((shared.tree / f"jobs/{name}.json").read_text())
        assert contract == {
            "lethe": 1, "study": "toy", "job": name, "kind": job["kind"], "code": job["code"],
            "fingerprint": job["fingerprint"], "cell": job["cell"], "config": f"configs/{name}.yaml",
            "inputs": {
                edge["name"]: {key: edge[key] for key in ("job", "type", "path", "fingerprint", "required")}
                for edge in job["inputs"]
            },
            "output": {"type": job["output"], "path": f"{name}-{job['fingerprint'][:12]}"},
            "environment": {"name": job["environment"], "lock": job["lock"]},
        }  # fmt: skip
        assert (shared.tree / contract["config"]).is_file()


def test_the_plan_holds_each_config_with_execution_left_blank(shared: Project) -> None:
    job = shared.jobs()["train/gt_sft_sums_base_nano"]
    config = yaml.safe_load((shared.tree / "configs/train/gt_sft_sums_base_nano.yaml").read_text())
    assert config["execution"]["micro_batch_size"] == 1 and job["config"]["execution"]["micro_batch_size"] is None
    assert {**config, "execution": None} == {**job["config"], "execution": None}


def test_submit_all_has_one_line_a_job_in_the_plans_order(shared: Project) -> None:
    lines = [line.split() for line in (shared.tree / "submit_all.sh").read_text().splitlines() if line.startswith("submit ")]
    for line, job in zip(lines, shared.plan()["jobs"], strict=True):
        after = [*(edge["job"] for edge in job["inputs"] if edge["required"]), *job["after"]]
        ended = [edge["job"] for edge in job["inputs"] if not edge["required"]]
        words = [*(["after", *after] if after else []), *(["ended", *ended] if ended else [])]
        assert line == ["submit", job["id"], job["fingerprint"], *words]


def test_the_page_for_people_names_every_job(shared: Project) -> None:
    page = (shared.tree / "PLAN.md").read_text()
    for name, job in shared.jobs().items():
        assert f"| {name} | {job['fingerprint'][:12]} |" in page


@pytest.mark.parametrize("study", ["micro", "phase1", "phase2"])
def test_the_committed_trees_are_what_the_specs_compile_to(study: str, tmp_path: Path) -> None:
    """To mend it: `lethe compile specs/STUDY.yaml` in the repository, and commit."""
    project = Project(tmp_path)
    (tmp_path / "specs").symlink_to(REPOSITORY / "specs")
    result = project.lethe("compile", f"specs/{study}.yaml")
    assert result.code == 0, result.err
    committed = REPOSITORY / "generated"
    files = {name: content for name, content in project.files().items() if name != "submit_all.sh"}
    there = {str(path.relative_to(committed)) for path in (committed / study).rglob("*") if path.is_file()}
    different = sorted(there ^ set(files)) + [n for n in sorted(there & set(files)) if (committed / n).read_bytes() != files[n]]
    assert different == [], f"{len(different)} files of generated/{study} are not what specs/{study}.yaml compiles to"
    assert (committed / "submit_all.sh").read_bytes() == project.files()["submit_all.sh"]
