"""specs/lmcleaner.yaml: a correction reads the record of its start's training, or does not compile; all of it runs, small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compiler.backends import Part, part
from compiler.cli import main
from compiler.configs import parse_config
from compiler.diagnostics import Diagnostic, SpecError
from compiler.fitness.demand import need
from compiler.fitness.models import Model
from compiler.pipeline import compile_study
from runtime.lifecycle import bracket
from runtime.store import markers
from tests.backends import catalog
from tests.specs.plans import SPECS, cells, jobs, of_kind, plan, source
from tests.specs.test_micro_unlearning import FEW, ROWS

NAME = "lmcleaner"
WAYS = ("exact", "window", "removed", "fisher")


def written(folder: Path, change: dict[str, Any]) -> Path:
    """The study with some of its keys changed."""
    spec = parse_config((SPECS / f"{NAME}.yaml").read_text())
    spec["catalog"] = [str(SPECS / layer) for layer in spec["catalog"]]
    path = folder / "specs" / "changed.yaml"
    path.parent.mkdir()
    path.write_text(json.dumps({**spec, "study": "changed", **change}))
    return path


def wrong(folder: Path, change: dict[str, Any]) -> list[Diagnostic]:
    """What the compiler says of the study so changed."""
    with pytest.raises(SpecError) as error:
        compile_study(written(folder, change))
    return list(error.value.diagnostics)


# --- the plan --------------------------------------------------------------------------------------------------------


def test_every_way_corrects_the_one_recorded_start_and_is_held_against_the_recorded_target() -> None:
    assert cells(NAME) == [f"lmcleaner_authors_forget10_recorded_tiny_{way}" for way in WAYS]
    for one in cells(NAME):
        job = jobs(NAME)[f"train/{one}"]
        assert {edge.name: (edge.job, edge.type) for edge in job.inputs} == {
            "start": ("train/recorded_tiny", "checkpoint.recorded"),
            "data": ("build/forget_retain_authors_forget10", "dataset.unlearning"),
        }
        assert job.what == "lmcleaner" and job.output == "checkpoint.hf"
    tuned = [job for job in of_kind(NAME, "train") if job.what == "recorded_sgd"]
    assert {job.id: source(job, "data") for job in tuned} == {
        "train/recorded_tiny": "build/truth_authors_full",
        "train/recorded_retain90_tiny": "build/truth_authors_retain90",
    }
    assert tuned[0].settings == tuned[1].settings and {job.output for job in tuned} == {"checkpoint.recorded"}


def test_a_recorded_model_is_measured_as_any_other() -> None:
    measured = {source(job, "model"): job for job in of_kind(NAME, "evaluate")}
    assert {"train/recorded_tiny", "train/recorded_retain90_tiny"} <= measured.keys()


def test_it_needs_no_network_and_compiles_without_a_warning() -> None:
    assert not of_kind(NAME, "fetch") and plan(NAME).warnings == ()


def test_a_record_takes_the_room_of_a_checkpoint_for_each_update() -> None:
    job = jobs(NAME)["train/recorded_tiny"]
    one = jobs(NAME)[f"train/{cells(NAME)[0]}"].cost["storage"]
    assert job.cost["steps"] == 100 and job.cost["storage"] == 101 * one


def test_a_correction_is_known_to_hold_six_vectors() -> None:
    """Weights, a gradient, what is carried, what is put aside, a product, the last weights; AdamW would hold four."""
    one, trained = (
        need(jobs(NAME)[job], Model("tiny", 1e6, None), None) for job in (f"train/{cells(NAME)[0]}", "train/recorded_tiny")
    )
    assert one is not None and trained is not None
    assert one.gpu_whole == 24e6 and trained.gpu_whole == 16e6


# --- what does not compile -------------------------------------------------------------------------------------------


def test_a_start_without_a_record_is_named_where_the_study_says_it(tmp_path: Path) -> None:
    axes = {"method": ["lmcleaner"], "domain": ["authors_forget10"], "start": ["full"], "scale": ["tiny"]}
    (said,) = wrong(tmp_path, {"axes": axes})
    assert "algorithm 'lmcleaner' begins from a checkpoint.recorded; 'train/full_tiny' makes a checkpoint.hf" in said.message
    assert "begin with a start that recorded_sgd makes in this plan" in said.hint
    assert said.position.file.endswith("changed.yaml")


def staged(first: dict[str, Any], **second: Any) -> dict[str, Any]:
    """The study with a method of two stages, the second of which is the correction."""
    stages = [first, {"algorithm": "lmcleaner", "dataset": "forget_retain", **second}]
    axes = {"method": ["staged"], "domain": ["authors_forget10"], "start": ["recorded"], "scale": ["tiny"]}
    defined = parse_config((SPECS / f"{NAME}.yaml").read_text())["define"]
    return {"axes": axes, "define": {**defined, "methods": {"staged": {"about": "Two stages", "stages": stages}}}}


def test_nothing_may_be_trained_in_between(tmp_path: Path) -> None:
    (said,) = wrong(tmp_path, staged({"algorithm": "grad_diff", "dataset": "forget_retain"}))
    assert (
        "begins from a checkpoint.recorded; 'train/staged_" in said.message
        and "1_grad_diff' makes a checkpoint.hf" in said.message
    )


def test_a_stage_before_may_leave_the_record_but_a_step_along_its_way_has_none(tmp_path: Path) -> None:
    recorded = {"algorithm": "recorded_sgd", "dataset": "truth"}
    (said,) = wrong(tmp_path, staged(recorded, init_from={"step": 3}))
    assert (
        "begins from a checkpoint.recorded; 'pick/staged_" in said.message and ".step3' makes a checkpoint.hf" in said.message
    )
    (tmp_path / "whole").mkdir()
    made = {job.id: job for job in compile_study(written(tmp_path / "whole", staged(recorded))).plan.jobs}
    last = next(job for job in made.values() if job.what == "lmcleaner")
    assert made[source(last, "start")].what == "recorded_sgd"


CLEANED: dict[str, Any] = {
    "window": None, "hessian": "exact", "damping": 0.0, "level": "batch", "historical_parameters": True, "noise": None,
    "seed": 0,
}  # fmt: skip
NOISE: dict[str, Any] = {"epsilon": 1.0, "delta": 1e-5, "sensitivity": 0.1, "directions": None}
EXECUTION: dict[str, Any] = {"devices": 1, "micro_batch_size": 4, "save_steps": None}


def found(name: str) -> Part:
    return part("native", name, catalog.HERE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": 0, "damping": 0.1}, "with a window of 0 nothing is carried through any step"),
        ({"level": "sample", "historical_parameters": False}, "level sample takes them back there"),
        ({"hessian": "GGN"}, "hessian"),
        ({"noise": {**NOISE, "epsilon": 2.0}}, "noise.epsilon"),
        ({"noise": {**NOISE, "directions": {"rank": 0, "across": 0.1}}}, "noise.directions.rank"),
        ({"window": -1}, "window"),
        ({"adapter": None}, "adapter"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change: dict[str, Any], message: str) -> None:
    right = {"settings": {**CLEANED, "window": 5, "damping": 1e-4, "noise": NOISE}, "execution": EXECUTION}
    assert catalog.wrong(found(NAME), right) == []
    (said,) = catalog.wrong(found(NAME), {"settings": {**CLEANED, **change}, "execution": EXECUTION})
    assert message in said


@pytest.mark.parametrize("name", ["recorded_sgd", NAME])
def test_no_fingerprint_tells_how_a_record_or_a_correction_is_cut(name: str) -> None:
    """Their losses are means over rows, so that micro-batches of any size make the same updates (test_lmcleaner.py)."""
    cuts = [found(name).decisive_config(CLEANED, {**EXECUTION, "micro_batch_size": cut}) for cut in (2, 4)]
    assert cuts[0] == cuts[1]


# --- from nothing to the report --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_is_trained_corrected_measured_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    domains = {name: {"extends": name, "settings": {**FEW, "train": rows}} for name, rows in ROWS.items()}
    domains["authors_forget10"] |= {"reference": "recorded_retain90"}
    axes = parse_config((SPECS / f"{NAME}.yaml").read_text())["axes"]
    ways = {"exact": axes["way"]["exact"], "batch": {"level": "batch"}}
    small = {
        "axes": {**axes, "way": ways},
        "define": {
            "domains": domains,
            "algorithms": {"recorded_sgd": {"extends": "recorded_sgd", "settings": {"epochs": 2}}},
            "scales": {"tiny": {"extends": "tiny", "starts": {"base": {"pretrain": {"settings": {"steps": 40}}}}}},
        },
    }
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LETHE_STORE", str(tmp_path / "store"))
    assert main(["compile", str(written(tmp_path, small))]) == 0
    tree = tmp_path / "generated" / "changed"
    for job in json.loads((tree / "plan.json").read_text())["jobs"]:
        bracket.run(job["kind"], tree / "jobs" / f"{job['id']}.json")

    facts = {}
    for way in ways:
        (folder,) = (tmp_path / "store").glob(f"train/lmcleaner_*_{way}-*")
        marker = markers.read(folder)
        assert marker is not None
        facts[way] = marker.facts
        assert facts[way]["steps"] == 6 and facts[way]["edited"] > 1 and facts[way]["correction_norm"] > 0
    assert facts["batch"]["collateral"] > facts["exact"]["collateral"] == 0
    assert facts["exact"]["products"] == facts["exact"]["walked"] - 1, "the first edited step has nothing to carry on yet"
    (path,) = (tmp_path / "store").glob("report/changed-*/report.json")
    assert json.loads(path.read_text())["complete"]
