"""All twelve methods on TOFU's three forget sets, from nothing: fine-tune, unlearn, evaluate with the reference's scores."""

from __future__ import annotations

import json
from itertools import product

import pytest

from compiler.plan.plan import Job
from tests.specs.plans import SPECS, back, cell, cells, jobs, of_kind, plan, source, trainings

NAME = "tofu_all"
METHODS = ("grad_ascent", "grad_diff", "npo", "simnpo", "idk_dpo", "altpo", "rmu", "undial", "ceu", "wga", "satimp", "pdu")
RETAIN = {"tofu_forget01": "retain99", "tofu_forget05": "retain95", "tofu_forget10": "retain90"}
CELLS = [f"{method}_{domain}_full_llama_1b" for domain, method in product(RETAIN, METHODS)]
SCHEMAS = SPECS.parent / "templates" / "backends" / "native"
STEPS = (1, 2, 4, 8, 16)

each_cell = pytest.mark.parametrize("one", CELLS)


def domain(one: str) -> str:
    return cell(NAME, one).axes["domain"]


def rows(data: Job) -> str:
    """The split whose rows a dataset is made of."""
    found: str = jobs(NAME)[source(data, "rows")].settings["split"]
    return found


def test_it_is_every_method_on_every_forget_set_on_mila() -> None:
    assert cells(NAME) == CELLS
    assert plan(NAME).cluster == "mila"
    assert {method.split("_tofu")[0] for method in cells(NAME)} == set(METHODS)


@pytest.mark.parametrize(
    "name", [NAME, "tofu", "tofu_finetune", "muse", "wmdp", "altpo", "undial", "ceu", "pdu", "satimp", "wga"]
)
def test_the_runtime_can_do_all_that_unlearning_asks_for(name: str) -> None:
    assert [warning for warning in plan(name).warnings if "runtime has no" in warning] == []


@each_cell
def test_the_model_to_unlearn_is_fine_tuned_on_all_authors_by_the_plan(one: str) -> None:
    tuned, unlearned = trainings(NAME, one)
    assert (tuned.id, tuned.what, rows(jobs(NAME)[source(tuned, "data")])) == ("train/full_llama_1b", "finetune", "full")
    assert jobs(NAME)[source(tuned, "start")].settings["hub"] == "meta-llama/Llama-3.2-1B-Instruct"
    data = jobs(NAME)[source(unlearned, "data")]
    assert (data.output, rows(data)) == ("dataset.unlearning", domain(one).removeprefix("tofu_"))
    assert jobs(NAME)[source(data, "rows")].settings["retain"] == RETAIN[domain(one)]


@each_cell
def test_every_result_reads_the_scores_of_the_model_that_never_saw_the_forget_set(one: str) -> None:
    found = cell(NAME, one)
    for column, job in {**found.after, **found.before}.items():
        assert column == f"tofu_everything.{domain(one)}"
        evaluation = jobs(NAME)[job]
        inputs = {edge.name: edge for edge in evaluation.inputs}
        assert inputs["reference"].required and inputs["reference"].type == "scores"
        compared = jobs(NAME)[inputs["reference"].job]
        retained = jobs(NAME)[source(compared, "model")]
        assert retained.id == f"train/{RETAIN[domain(one)]}_llama_1b"
        assert rows(jobs(NAME)[source(retained, "data")]) == RETAIN[domain(one)]
        assert "reference" not in {edge.name for edge in compared.inputs}, "it is compared with nothing itself"
        assert inputs[domain(one)].job == source(compared, domain(one)), "both answer the same questions"
    assert source(jobs(NAME)[found.after[f"tofu_everything.{domain(one)}"]], "model") == found.train


@each_cell
def test_every_method_learns_again_what_it_forgot_and_is_measured_on_the_way(one: str) -> None:
    found = cell(NAME, one)
    assert [point.step for point in found.relearned] == list(STEPS)
    for point in found.relearned:
        *_, again = [job for job in back(NAME, point.checkpoint) if job.id == f"train/{one}.relearn"]
        assert source(again, "start") == found.train
        assert jobs(NAME)[source(again, "data")].id == f"build/truth_{domain(one)}"
        assert (again.settings["steps"], again.settings["schedule"], again.execution["keep"]) == (16, "constant", [1, 2, 4, 8])


@each_cell
def test_its_config_says_everything_that_its_schema_asks_for(one: str) -> None:
    job = trainings(NAME, one)[-1]
    required = json.loads((SCHEMAS / f"{job.what}.schema.json").read_text())["properties"]["settings"]["required"]
    assert set(required) <= set(job.settings)
    assert set(job.config) >= {*required, "execution"}, "the config as the fingerprint sees it"


def test_what_one_method_needs_is_made_by_the_plan() -> None:
    refusals = jobs(NAME)[source(trainings(NAME, CELLS[METHODS.index("idk_dpo")])[-1], "data")]
    assert refusals.settings["alternates"] == "refusals"
    made = jobs(NAME)[source(trainings(NAME, CELLS[METHODS.index("altpo")])[-1], "data")]
    sampled = jobs(NAME)[source(made, "traces")]
    assert (sampled.kind, source(sampled, "model")) == ("generate", "train/full_llama_1b"), "the start makes up its own answers"


def test_nothing_is_trained_twice() -> None:
    found = [job.id for job in of_kind(NAME, "train")]
    starts = ["full_llama_1b", *(f"{name}_llama_1b" for name in RETAIN.values())]
    again = [f"{RETAIN[name]}_llama_1b.relearn_{name}" for name in RETAIN]
    assert sorted(found) == sorted(f"train/{name}" for name in [*CELLS, *(f"{one}.relearn" for one in CELLS), *starts, *again])


def test_the_report_knows_the_reference_of_every_cell_and_its_curve() -> None:
    (report,) = of_kind(NAME, "report")
    told = {found["id"]: found for found in report.settings["cells"]}
    for one in CELLS:
        reference = told[one]["reference"]
        assert list(reference["evaluations"]) == [f"tofu_everything.{domain(one)}"]
        assert [point["step"] for point in reference["relearned"]] == list(STEPS)
    assert {suite["name"].partition(".")[0] for suite in report.settings["suites"]} == {"tofu_everything", "tofu_recalled"}
