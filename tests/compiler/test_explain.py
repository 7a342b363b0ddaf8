"""`lethe explain` says where a value comes from: of a cell, of a job, and of a line of any generated file."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from tests.compiler.project import Project

CELL, JOB = "gt_sft_facts_base_nano", "train/gt_sft_facts_base_nano"
RECIPES, PLACES = "catalog/recipes.yaml", "catalog/places.yaml"


def explained(project: Project, *words: str) -> Any:
    result = project.lethe("explain", *words, "--json")
    assert (result.code, result.err) == (0, ""), result.out + result.err
    return json.loads(result.out)


def of(project: Project, *words: str) -> dict[str, dict[str, Any]]:
    """The explained values by job and field."""
    return {f"{value['job']}: {value['field']}": value for value in explained(project, "specs/toy.yaml", *words)}


def at(project: Project, said: dict[str, Any]) -> str:
    """What stands at the place that a source names."""
    line = (project.root / str(said["file"])).read_text().splitlines()[int(said["line"]) - 1]
    return line[int(said["column"]) - 1 :]


def line_of(project: Project, path: str, text: str) -> str:
    """FILE:LINE of the first line of a generated file that holds a text."""
    lines = (project.tree / path).read_text().splitlines()
    return f"generated/toy/{path}:{next(number for number, line in enumerate(lines, 1) if text in line)}"


def decided_by(project: Project, path: str, text: str) -> dict[str, dict[str, Any]]:
    found = explained(project, line_of(project, path, text))
    return {value["field"]: value for value in found["decided_by"]}


# ---- a cell's values --------------------------------------------------------------------------------------------------


def test_a_value_is_shown_with_its_meaning_and_every_layer_what_holds_first(shared: Project) -> None:
    result = shared.lethe("explain", "specs/toy.yaml", CELL, "lr")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        f"{JOB}: lr = 0.0005\n"
        "  peak learning rate\n"
        "    holds     0.0005  rule 'gentler_facts'  specs/toy.yaml:22:9\n"
        "    replaced  0.001   algorithm sft         specs/catalog/recipes.yaml:27:11\n"
    )


def test_the_same_as_json_is_the_chain_the_lowest_first(shared: Project) -> None:
    (value,) = explained(shared, "specs/toy.yaml", CELL, "lr")
    assert [(said["source"], said["value"], said["holds"]) for said in value["chain"]] == [
        ("algorithm sft", 1e-3, False), ("rule 'gentler_facts'", 5e-4, True),
    ]  # fmt: skip
    assert at(shared, value["chain"][0]).startswith("1e-3")
    assert at(shared, value["chain"][1]).startswith("lr: 5e-4")


def test_without_a_field_every_setting_of_the_trainings_is_one_line(shared: Project) -> None:
    result = shared.lethe("explain", "specs/toy.yaml", "staged_facts_base_nano")
    jobs = shared.jobs()
    first, second = "train/staged_facts_base_nano.1_sft", "train/staged_facts_base_nano"
    settings = [len(jobs[name]["settings"]) for name in (first, second)]
    lines = result.out.splitlines()
    assert [lines.index(first), lines.index(second), len(lines)] == [0, settings[0] + 1, sum(settings) + 2]
    assert re.search(r"^  max_length +48 +domain facts +specs/catalog/subjects.yaml:15:25$", result.out, re.MULTILINE)


def test_what_holds_is_what_the_job_has(shared: Project) -> None:
    """For every job of the plan, every value, and every source that has a place in a file."""
    for name, job in shared.jobs().items():
        for value in explained(shared, "specs/toy.yaml", name):
            found: Any = job
            for step in value["field"].split("."):
                found = found[step]
            assert value["chain"][-1]["holds"] and value["chain"][-1]["value"] == value["value"] == found, (name, value)
            assert all(said["source"] for said in value["chain"])
    assert len(shared.jobs()) == 65


def test_a_field_of_several_stages_is_shown_for_each_and_an_algorithm_chooses(shared: Project) -> None:
    assert set(of(shared, "staged_facts_base_nano", "lr")) == {
        "train/staged_facts_base_nano.1_sft: settings.lr", "train/staged_facts_base_nano: settings.lr",
    }  # fmt: skip
    (value,) = of(shared, "staged_facts_base_nano", "grpo.lr").values()
    assert [said["source"] for said in value["chain"]] == ["algorithm grpo", "method staged"]


def test_a_field_that_no_training_has_is_looked_for_in_all_that_the_cell_takes(shared: Project) -> None:
    assert {name.split(": ")[0] for name in of(shared, CELL, "max_new_tokens")} == {
        f"evaluate/{CELL}.skills", f"evaluate/{CELL}.harm",
    }  # fmt: skip
    (start,) = of(shared, CELL, "model.layers").values()
    assert start["job"] == "pretrain/base_nano"


def test_a_mapping_is_all_that_is_in_it(shared: Project) -> None:
    found = of(shared, "pretrain/base_nano", "model")
    assert {name.split("settings.")[1] for name in found} == {
        f"model.{key}" for key in ("architecture", "layers", "hidden", "heads", "vocabulary")
    }


def test_how_a_job_runs_has_its_sources_too(shared: Project) -> None:
    (time,) = of(shared, JOB, "resources.time").values()
    assert time["chain"][-1]["source"] == "cluster here" and time["about"].startswith("The time limit")
    assert at(shared, time["chain"][-1]).startswith("2:00:00")
    (devices,) = of(shared, JOB, "execution.devices").values()
    assert devices["chain"] == [
        {
            "source": "the GPUs of the job's resources, or 1",
            "file": None,
            "line": None,
            "column": None,
            "value": 1,
            "holds": True,
        }
    ]


def test_what_a_backend_asks_for_says_who_knows_it(shared: Project) -> None:
    (grader,) = of(shared, "on_rl_facts_base_nano", "grader").values()
    assert (grader["value"], grader["chain"][-1]["source"]) == ("qa", "the domain's grader")


def test_inheritance_and_overrides_are_levels_of_the_chain(project: Project) -> None:
    project.add("\ndefine:\n  algorithms:\n    sft: {extends: sft, settings: {lr: 3e-3}}\n")
    (value,) = explained(project, "specs/toy.yaml", "gt_sft_sums_base_nano", "lr")
    assert [(said["file"], said["value"]) for said in value["chain"]] == [
        ("specs/catalog/recipes.yaml", 1e-3), ("specs/toy.yaml", 3e-3),
    ]  # fmt: skip
    assert not project.generated.exists(), "explaining writes nothing"


def test_an_axis_of_settings_is_a_source(project: Project) -> None:
    project.edit("toy.yaml", "  scale: [nano]\n", "  scale: [nano]\n  lr: [1e-5, 2e-5]\n")
    project.edit("toy.yaml", "  - set: gentler_facts", "  - set: gentle")
    (value,) = explained(project, "specs/toy.yaml", "gt_sft_sums_base_nano_lr2e-05", "lr")
    assert value["value"] == 2e-5 and "lr" in value["chain"][-1]["source"]
    assert at(project, value["chain"][-1]).startswith("2e-5")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["gt_sft_fact_base_nano"], "there is no cell or job 'gt_sft_fact_base_nano'", f"did you mean '{CELL}'?"),
        (["train/gt_sft_facts_base_nan"], "there is no cell or job", f"did you mean '{JOB}'?"),
        ([CELL, "batchsize"], "there is no field 'batchsize'", "did you mean 'batch_size'?"),
        (["staged_facts_base_nano", "grpo.kl_coeff"], "there is no field 'grpo.kl_coeff'", "did you mean 'grpo.kl_coef'?"),
        ([JOB, "resources.tme"], "there is no field 'resources.tme'", "did you mean 'resources.time'?"),
    ],
)
def test_a_name_that_is_not_there_is_one_message_with_the_nearest(
    words: list[str], message: str, hint: str, shared: Project
) -> None:
    result = shared.lethe("explain", "specs/toy.yaml", *words)
    assert (result.code, result.out) == (1, "")
    first, second = result.err.splitlines()
    assert message in first and second == f"  hint: {hint}"


def test_a_spec_alone_is_no_question(shared: Project) -> None:
    result = shared.lethe("explain", "specs/toy.yaml")
    assert (result.code, result.out) == (1, "")
    assert "Name a cell or a job (`lethe ls specs/toy.yaml` lists them)" in result.err


# ---- a line of a generated file ---------------------------------------------------------------------------------------


def test_a_line_of_a_config_is_decided_by_a_setting_with_its_chain(shared: Project) -> None:
    (value,) = decided_by(shared, f"configs/{JOB}.yaml", "learning_rate:").values()
    assert value == explained(shared, "specs/toy.yaml", CELL, "lr")[0]
    text = shared.lethe("explain", line_of(shared, f"configs/{JOB}.yaml", "learning_rate:")).out
    assert "decided by\n" in text and "holds     0.0005  rule 'gentler_facts'  specs/toy.yaml:22:9\n" in text
    assert re.search(r"\nits form is that of templates/backends/trl/sft\.yaml\.j2:[0-9]+\n$", text)


@pytest.mark.parametrize(
    ("path", "text", "fields", "place"),
    [
        (f"jobs/{JOB}.sh", "--time=", {"resources.time"}, "2:00:00"),
        (f"jobs/{JOB}.sh", "OMP_NUM_THREADS", {"environments.train.exports.OMP_NUM_THREADS"}, '"1"'),
        (f"jobs/{JOB}.sh", "export LETHE_STORE", {"store"}, '"$LETHE_ROOT/store"'),
        (f"jobs/{JOB}.json", '"study"', {"study"}, "toy"),
        (f"jobs/{JOB}.json", '"domain"', {"cell.domain"}, "facts"),
        ("submit_all.sh", "study=", {"study"}, "toy"),
        ("submit_all.sh", "executor=", {"executor"}, "local"),
        ("PLAN.md", "facts are forgotten", {"rules.1.why", "rules.1.name", "rules.1.action", "rules.1.touched"}, None),
        ("plan.json", '"about"', {"about"}, "Four methods"),
        ("plan.json", '"learning_rate": 0.0005', {"settings.lr"}, "lr: 5e-4"),
        ("plan.json", '"lr": 0.0005', {"settings.lr"}, "lr: 5e-4"),
        ("plan.json", '"backend": "native"', {"backend"}, None),
        ("plan.json", '"method": "on_rl"', {"axes.method"}, "on_rl"),
        ("plan.json", '"train": "train/', {"train"}, None),
        ("plan.json", '"path": "pretrain/base_nano-', {"inputs.0.job", "inputs.0.fingerprint"}, None),
        ("plan.json", '"executor"', {"executor"}, "local"),
        ("plan.json", '"gpu_hours"', {"cost.gpu_hours"}, None),
        ("PLAN.md", "| rs_sft | yes", {"axes.method.1", "cells"}, "rs_sft"),
        (
            "PLAN.md",
            "| train | 15 |",
            {"jobs", "cost.gpu_hours", *(f"resources.{name}" for name in ("time", "cpus", "mem", "gpus", "nodes"))},
            None,
        ),
        ("manifest.sha256", "PLAN.md", {"sha256"}, None),
        ("plan.json", '"time": "1:00:00"', {"resources.time"}, "1:00:00"),
    ],
)
def test_every_generated_file_leads_back_to_the_specs(
    path: str, text: str, fields: set[str], place: str | None, shared: Project
) -> None:
    found = decided_by(shared, path, text)
    assert set(found) == fields
    if place:
        assert at(shared, next(iter(found.values()))["chain"][-1]).startswith(place)


def test_several_values_may_decide_one_line(shared: Project) -> None:
    assert set(decided_by(shared, f"jobs/{JOB}.sh", "--job-name")) == {"study", "id", "fingerprint"}
    assert {"fingerprint", "inputs.0.job"} <= set(decided_by(shared, "submit_all.sh", f"submit {JOB} "))


def test_a_line_may_be_there_only_because_of_a_value(shared: Project) -> None:
    found = explained(shared, line_of(shared, f"jobs/{JOB}.sh", "# shellcheck disable"))
    assert found["decided_by"] == []
    assert [value["field"] for value in found["there_by"]] == ["environments.train.activate"]


def test_tracking_decides_the_lines_of_weights_and_biases(project: Project) -> None:
    project.edit("toy.yaml", "wandb: disabled", "wandb: online")
    project.compile()
    found = explained(project, line_of(project, f"jobs/{JOB}.sh", "WANDB_RUN_ID"))
    assert [value["field"] for value in found["decided_by"]] == ["fingerprint"]
    assert [value["field"] for value in found["there_by"]] == ["wandb"]
    mode = decided_by(project, f"jobs/{JOB}.sh", "WANDB_MODE")
    assert mode["wandb"]["chain"][-1]["line"] and mode["project"]["chain"][-1]["source"] == "default"


def test_a_line_that_no_value_decides_is_the_templates(shared: Project) -> None:
    result = shared.lethe("explain", line_of(shared, f"jobs/{JOB}.sh", "set -euo pipefail"))
    place = re.search(r"no value decides this line: it stands in (templates/job\.sh\.j2):([0-9]+)\n$", result.out)
    assert place, result.out
    template = Path(__file__).parents[2] / place[1]
    assert template.read_text().splitlines()[int(place[2]) - 1] == "set -euo pipefail"


def test_what_is_the_same_for_every_study_says_so(shared: Project) -> None:
    found = explained(shared, "generated/submit_all.sh:1")
    assert (found["decided_by"], found["template"]) == ([], "templates/dispatch.sh:1")


def test_a_file_that_was_edited_is_said_to_be_before_its_line_is_explained(compiled: Project) -> None:
    where = line_of(compiled, f"configs/{JOB}.yaml", "learning_rate:")
    config = compiled.tree / f"configs/{JOB}.yaml"
    config.write_text(config.read_text().replace("0.0005", "0.5"))
    result = compiled.lethe("explain", where)
    assert result.code == 0
    first, second = result.out.splitlines()[:2]
    assert first.startswith("The file is not what its study compiles to now") and second.endswith(
        "learning_rate: 0.0005  # specs/toy.yaml:22"
    )


def test_a_spec_that_was_edited_is_explained_as_it_is_now(compiled: Project) -> None:
    where = line_of(compiled, f"configs/{JOB}.yaml", "learning_rate:")
    compiled.edit("toy.yaml", "lr: 5e-4", "lr: 7e-4")
    found = explained(compiled, where)
    assert (found["edited"], found["decided_by"][0]["value"]) == (True, 7e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("generated/toy/PLAN.md:99999", "lines, and no line 99999"),
        ("generated/toy/PLAN.md:0", "lines, and no line 0"),
        ("generated/toy/PLANS.md:1", "there is no generated file 'PLANS.md'\n  hint: did you mean 'PLAN.md'?"),
        ("specs/toy.yaml:1", "is in no study's generated folder"),
    ],
)
def test_a_line_that_is_not_there_is_one_message(words: str, message: str, shared: Project) -> None:
    result = shared.lethe("explain", words)
    assert (result.code, result.out) == (1, "")
    assert message in result.err


def test_a_line_of_a_folder_whose_plan_is_broken_asks_for_compiling(compiled: Project) -> None:
    (compiled.tree / "plan.json").write_text("{")
    result = compiled.lethe("explain", "generated/toy/PLAN.md:1")
    assert (result.code, result.out) == (1, "")
    assert "is not a plan" in result.err and "Compile the study again" in result.err


def test_what_is_said_of_a_line_is_true(compiled: Project) -> None:
    """Change a value where its source says that it stands, compile again: exactly the explained line says the new one."""
    where = line_of(compiled, f"configs/{JOB}.yaml", "lr_scheduler_type:")
    (value,) = explained(compiled, where)["decided_by"]
    path, number = where.rsplit(":", 1)
    before = (compiled.root / path).read_text().splitlines()
    source = compiled.root / value["chain"][-1]["file"]
    lines = source.read_text().splitlines()
    lines[value["chain"][-1]["line"] - 1] = "      schedule: linear"
    source.write_text("\n".join(lines) + "\n")
    compiled.compile()
    after = (compiled.root / path).read_text().splitlines()
    assert [n for n, (old, new) in enumerate(zip(before, after, strict=True), 1) if old != new] == [int(number)]


def test_every_line_of_a_generated_file_can_be_explained(shared: Project) -> None:
    """A sample of all lines: each is decided by something, or stands in a template, or is the form of a JSON file."""
    draw = random.Random(0)
    files = [path for path in shared.tree.rglob("*") if path.is_file()]
    for path in draw.sample(sorted(files), 20):
        number = draw.randrange(len(path.read_text().splitlines())) + 1
        found = explained(shared, f"{path.relative_to(shared.root)}:{number}")
        known = found["decided_by"] or found["there_by"] or found["template"]
        assert known or path.suffix == ".json" or not found["text"].strip(), (path, number, found)
