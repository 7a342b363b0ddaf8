"""plan.json: a schema that says what is in it, one way to write it, who set each setting, and what sharing saves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from compiler.lower.workshop import GIVEN
from compiler.plan.canonical import canonical_text, plain
from compiler.plan.plan import VERSION, read_plan
from tests.compiler.project import REPOSITORY, Project
from tests.compiler.small import AXES, BASE, COMBINED, jobs, plan, validate

SCHEMA = json.loads((REPOSITORY / "compiler/plan/plan.schema.json").read_text(encoding="utf-8"))
VALID = Draft202012Validator(SCHEMA)
FREE = ("settings", "config", "execution")  # of each backend's own making: its schema says what is there
STUDIES = ["micro", "phase1", "micro_chains", "adapters", "tofu_finetune", "wmdp", "olmo"]


# --- the schema -----------------------------------------------------------------------------------------------------------


def test_the_schema_is_one_and_is_of_the_version_that_is_written() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["lethe"] == {"const": VERSION, "description": "version of this format"}
    assert f"version {VERSION}" in SCHEMA["title"]


@pytest.mark.parametrize("study", STUDIES)
def test_the_plans_of_real_studies_keep_to_it(study: str, tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert project.lethe("compile", str(REPOSITORY / f"specs/{study}.yaml")).code == 0
    VALID.validate(json.loads((project.generated / study / "plan.json").read_text()))


def test_so_do_the_committed_plans() -> None:
    committed = sorted((REPOSITORY / "generated").glob("*/plan.json"))
    assert len(committed) >= 3
    for path in committed:
        VALID.validate(json.loads(path.read_text(encoding="utf-8")))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a plan of which the schema says something."""
    yield path
    if path and path[-1] in FREE:
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


RECORDS = ("jobs", "cells", "inputs", "rules")  # lists of objects that lack nothing


def is_record(path: tuple[Any, ...]) -> bool:
    """Whether an object's keys must all be there."""
    return not path or path[-1] in ("resources", "sharing") or (isinstance(path[-1], int) and path[-2] in RECORDS)


@given(data=st.data())
def test_a_plan_with_another_kind_of_value_anywhere_does_not(data: st.DataObject, shared: Project) -> None:
    wrong = shared.plan()
    path = data.draw(st.sampled_from([path for path in places(wrong) if path and path[-1] != "config"]))
    at(wrong, path[:-1])[path[-1]] = [[at(wrong, path)]]
    assert not VALID.is_valid(wrong), path


@given(data=st.data())
def test_a_plan_that_lacks_something_does_not(data: st.DataObject, shared: Project) -> None:
    wrong = shared.plan()
    path = data.draw(st.sampled_from([path for path in places(wrong) if path and is_record(path[:-1])]))
    del at(wrong, path[:-1])[path[-1]]
    assert not VALID.is_valid(wrong), path


@given(data=st.data())
def test_a_plan_that_has_more_does_not(data: st.DataObject, shared: Project) -> None:
    wrong = shared.plan()
    objects = [path for path in places(wrong) if isinstance(at(wrong, path), dict) and path[-1:] not in [(f,) for f in FREE]]
    path = data.draw(st.sampled_from(objects))
    at(wrong, path)["surplus"] = []
    assert not VALID.is_valid(wrong), path


def test_every_setting_is_there_as_it_is_meant_and_as_it_is_rendered(shared: Project) -> None:
    """The settings by the spec's names, and the config that the backend reads, with blanks for how it is run."""
    job = shared.jobs()["train/gt_sft_sums_base_nano"]
    assert (job["settings"]["lr"], job["settings"]["epochs"], job["execution"]["micro_batch_size"]) == (0.001, None, 1)
    assert job["config"]["args"]["learning_rate"] == 0.001 and job["config"]["execution"]["micro_batch_size"] is None


# --- one way to write it --------------------------------------------------------------------------------------------------


def test_a_plan_is_written_with_sorted_keys_and_reads_back_as_it_was(shared: Project) -> None:
    path = shared.tree / "plan.json"
    found = json.loads(path.read_text())
    assert path.read_text() == json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    assert read_plan(path).text() == path.read_text()


def test_comments_moved_lines_and_other_spellings_of_numbers_leave_it_byte_for_byte(compiled: Project) -> None:
    before = (compiled.tree / "plan.json").read_bytes()
    compiled.edit("catalog/subjects.yaml", "temperature: 0\n", "temperature: 0.0\n")
    compiled.edit("catalog/recipes.yaml", "lr: 1e-3\n", "lr: 0.0010\n")
    for path in (compiled.root / "specs").rglob("*.yaml"):
        path.write_text("# first\n\n" + "".join(f"{line}  # said of it\n" for line in path.read_text().splitlines() if line))
    compiled.compile()
    assert (compiled.tree / "plan.json").read_bytes() == before


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
data = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(data)
def test_any_data_is_written_as_json_does(value: Any) -> None:
    assert canonical_text(value) == json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_of_json_is_not_written(number: float) -> None:
    with pytest.raises(ValueError, match="is no number of JSON"):
        canonical_text([number])


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_a_whole_number_is_written_as_an_integer(number: int) -> None:
    assert repr(plain(float(number))) == repr(number)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_number_changes_its_value_by_being_written(number: float) -> None:
    assert float(json.loads(json.dumps(plain(number)))) == number


# --- who set what ---------------------------------------------------------------------------------------------------------


def test_each_layer_that_sets_something_is_named(project: Project) -> None:
    axes = {**AXES, "method": ["staged"], "lr": [1e-3, 2e-3], "pace": {"slow": {"sft.steps": 7}}, "adapter": ["low"]}
    rule = {"set": "gentler", "where": {"lr": 2e-3}, "to": {"sft": {"weight_decay": 0.5}}, "why": "so"}
    low = {"type": "lora", "rank": 4, "alpha": 8, "dropout": 0.0, "targets": "all-linear"}
    sums = {"extends": "sums", "algorithms": {"grpo": {"max_prompt_tokens": 32}}}
    define = {"adapters": {"low": {"about": "x", "settings": low}}, "domains": {"sums": sums}}
    found = {job["id"]: job["provenance"] for job in plan(project, axes=axes, rules=[rule], define=define)["jobs"]}
    first = found["train/staged_sums_base_nano_lr0.002_slow_low.1_sft"]
    last = found["train/staged_sums_base_nano_lr0.002_slow_low"]
    assert first["batch_size"] == "algorithm sft" and last["batch_size"] == "algorithm grpo"
    assert first["lr"] == "axis lr" and first["steps"] == "axis pace, slow"
    assert first["weight_decay"] == "rule 'gentler'" and last["weight_decay"] == "algorithm grpo"
    assert first["max_length"] == "domain sums" and last["max_prompt_tokens"] == "domain sums"
    assert last["grader"] == "the domain's grader" and last["adapter"] == "adapter low"
    assert found["evaluate/base_nano.harm"]["suite"] == "the suite's name"
    assert found["prepare/sums"]["source"] == "domain sums"


def test_what_a_method_says_hides_the_algorithm(shared: Project) -> None:
    assert shared.jobs()["train/staged_facts_base_nano"]["provenance"]["lr"] == "method staged"


def test_a_mapping_that_several_layers_set_is_named_value_by_value(project: Project) -> None:
    wide = {"extends": "nano", "starts": {"base": {"pretrain": {"settings": {"model": {"hidden": 64}}}}}}
    found = plan(project, axes={**AXES, "scale": ["wide"]}, define={"scales": {"wide": wide}})
    said = jobs(found, "pretrain")["base_wide"]["provenance"]
    assert {name: label for name, label in said.items() if name.startswith("model")} == {
        "model.architecture": "scale nano", "model.hidden": "scale wide", "model.layers": "scale nano",
        "model.heads": "scale nano", "model.vocabulary": "scale nano",
    }  # fmt: skip
    assert said["mixture"] == said["lr"] == "scale nano"


def test_it_is_what_explain_says(shared: Project) -> None:
    """Without the place, and with who gives what no definition sets."""
    a_kind = {job["kind"]: job for job in shared.plan()["jobs"] if job["kind"] != "report"}
    for job in a_kind.values():
        told = json.loads(shared.lethe("explain", "specs/toy.yaml", job["id"], "settings", "--json").out)
        assert told
        for value in told:
            said, name = value["chain"][-1], value["field"].removeprefix("settings.")
            label = job["provenance"].get(name) or job["provenance"][name.split(".")[0]]
            assert label == (said["source"] if said["file"] else GIVEN[name.split(".")[0]]), (job["id"], name)


def test_every_setting_has_one_and_none_names_a_place(shared: Project) -> None:
    for job in shared.plan()["jobs"]:
        assert {name.split(".")[0] for name in job["provenance"]} == set(job["settings"])
        assert not any(re.search(r"\.yaml|:\d", label) for label in job["provenance"].values())


# --- sharing --------------------------------------------------------------------------------------------------------------


def test_sharing_is_counted_by_what_each_cell_would_take_alone(project: Project) -> None:
    """Two cells share three preparations, the start, and its measurement (1 GPU for 36 h; pre-training: 2 for 48 h)."""
    found = plan(project, axes={**AXES, "domain": ["sums", "facts"]}, cluster="gres_site")
    assert len(found["jobs"]) == 12
    assert found["sharing"] == {"jobs": 5, "asked": 16, "gpu_hours_saved": 36 + 96}
    page = (project.tree / "PLAN.md").read_text()
    assert "5 jobs serve several cells: each cell alone, it would be 16 jobs and 132.0 GPU-hours more." in page


def test_one_cell_shares_nothing(project: Project) -> None:
    assert plan(project)["sharing"] == {"jobs": 0, "asked": 8, "gpu_hours_saved": 0}
    assert "serve several cells" not in (project.tree / "PLAN.md").read_text()


def test_recipes_that_begin_alike_share_their_beginning(project: Project) -> None:
    found = plan(project, axes={**AXES, "domain": ["sums", "first_sums"]}, define=COMBINED)
    ends = {cell["id"]: cell for cell in found["cells"]}
    second = next(job for job in found["jobs"] if job["id"] == ends["gt_sft_first_sums_base_nano"]["train"])
    assert second["inputs"][0]["job"] == ends["gt_sft_sums_base_nano"]["train"]
    assert found["sharing"]["jobs"] == 7  # rows of three domains, start, its harm; the data of sums, and the training on it


def test_compiling_says_what_another_compiled_study_makes_too(project: Project) -> None:
    plan(project)
    other = {**BASE, "study": "other", "cluster": "gres_site", "axes": {**AXES, "domain": ["sums", "facts"]}}
    (project.root / "specs/other.yaml").write_text(json.dumps(other))
    told = project.lethe("compile", "specs/other.yaml")
    assert "Shared with study toy: 8 jobs, 264.0 GPU-hours at most; in one store, who is first makes them.\n" in told.out
    alone = (project.generated / "other/plan.json").read_bytes()
    assert [one["study"] for one in json.loads(project.lethe("compile", "specs/toy.yaml", "--json").out)["shared_with"]] == [
        "other"
    ]
    (project.tree / "submit_all.sh").unlink()
    assert "Shared" not in project.lethe("compile", "specs/other.yaml").out
    assert (project.generated / "other/plan.json").read_bytes() == alone


def test_equal_jobs_of_other_names_are_told_apart_from_those_that_are_one(project: Project) -> None:
    plan(project)
    other = {**BASE, "study": "other", "name": "x_{method}_{domain}_{start}_{scale}"}
    (project.root / "specs/other.yaml").write_text(json.dumps(other))
    shared = json.loads(project.lethe("compile", "specs/other.yaml", "--json").out)["shared_with"]
    assert shared[0]["renamed"] == [
        ["train/x_gt_sft_sums_base_nano", "train/gt_sft_sums_base_nano"],
        ["evaluate/x_gt_sft_sums_base_nano.harm", "evaluate/gt_sft_sums_base_nano.harm"],
    ]
    told = project.lethe("compile", "specs/other.yaml").out
    assert "8 jobs (2 of other names: train/x_gt_sft_sums_base_nano is train/gt_sft_sums_base_nano there)" in told


def test_a_study_that_cannot_be_read_back_shares_nothing(project: Project) -> None:
    assert validate(project).code == 0
    (project.generated / "broken").mkdir(parents=True)
    (project.generated / "broken/submit_all.sh").write_bytes(b"submit \xff train/x 00\n")
    assert "Shared" not in project.lethe("compile", "specs/toy.yaml").out
