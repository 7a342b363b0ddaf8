"""specs/micro_unlearning.yaml, cut down to few authors, methods and steps: every job of it runs, from nothing to the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compiler.cli import main
from compiler.configs import parse_config
from runtime.lifecycle import bracket
from tests.specs.plans import SPECS, cells, jobs, of_kind, plan, source

NAME = "micro_unlearning"
ONE_EPOCH = ("grad_ascent", "idk_dpo", "altpo", "rmu")  # no retain set; refusals; made-up answers; hidden states
FEW = {"authors": 20, "holdout_authors": 2, "real_authors": 4}
ROWS = {"authors_world": 8 * (5 * 4 + 32), "authors_full": 100, "authors_retain90": 90, "authors_forget10": 10}


def small(tmp_path: Path) -> Path:
    """The study with a tenth of everything."""
    spec = parse_config((SPECS / f"{NAME}.yaml").read_text())
    domains = {name: {"extends": name, "settings": {**FEW, "train": rows}} for name, rows in ROWS.items()}
    domains["authors_forget10"] |= {"datasets": {"alternates": {"prompts": 10}}, "examples": {"alternates": 30}}
    one = {name: {"extends": name, "settings": {"epochs": 1, "warmup_epochs": 0}} for name in (*ONE_EPOCH, "finetune")}
    spec |= {
        "catalog": [str(SPECS / layer) for layer in spec["catalog"]],
        "axes": {**spec["axes"], "method": list(ONE_EPOCH)},
        "rules": [],
        "define": {
            "domains": domains,
            "algorithms": one,
            "scales": {"tiny": {"extends": "tiny", "starts": {"base": {"pretrain": {"settings": {"steps": 40}}}}}},
        },
    }
    spec["evaluate"]["relearn"] |= {"steps": [1, 2], "settings": {"batch_size": 10, "schedule": "constant", "warmup_epochs": 0}}
    spec["define"]["algorithms"]["finetune"]["execution"] = {"micro_batch_size": 10}
    path = tmp_path / "specs" / "few.yaml"
    path.parent.mkdir()
    path.write_text(json.dumps({**spec, "study": "few"}))
    return path


@pytest.mark.slow
def test_it_is_fine_tuned_unlearned_measured_relearned_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LETHE_STORE", str(tmp_path / "store"))
    assert main(["compile", str(small(tmp_path))]) == 0
    tree = tmp_path / "generated" / "few"
    for job in json.loads((tree / "plan.json").read_text())["jobs"]:
        bracket.run(job["kind"], tree / "jobs" / f"{job['id']}.json")

    (path,) = (tmp_path / "store").glob("report/few-*/report.json")
    found = json.loads(path.read_text())
    assert found["complete"] and found["sections"] == []
    (panel,) = found["unlearning"]
    assert [row["name"] for row in panel["rows"]] == ["reference", "full", *ONE_EPOCH]
    for row in panel["rows"][1:]:
        assert set(row["metrics"]) == set(panel["metrics"]), "with the reference's scores, every metric can be told"
        assert 0 <= row["metrics"]["forget_quality"]["mean"] <= 1
    (relearning,) = found["relearning"]
    assert [curve["name"] for curve in relearning["curves"]] == ["reference", *ONE_EPOCH]
    for curve in relearning["curves"]:
        assert [stop["step"] for stop in curve["stops"]] == [0, 1, 2]
        assert all(0 < stop["metrics"]["forget_prob"]["mean"] <= 1 for stop in curve["stops"])


# --- what the miniature is ---------------------------------------------------------------------------------------------


def settings(job_id: str) -> dict[str, Any]:
    return dict(jobs(NAME)[job_id].settings)


def test_every_method_unlearns_the_model_that_the_plan_fine_tuned() -> None:
    assert len(cells(NAME)) == 12
    for one in cells(NAME):
        assert source(jobs(NAME)[f"train/{one}"], "start") == "train/full_tiny"
    tuned = {job.id: job for job in of_kind(NAME, "train") if job.what == "finetune" and "relearn" not in job.id}
    assert {source(job, "data") for job in tuned.values()} == {"build/truth_authors_full", "build/truth_authors_retain90"}
    assert {source(job, "start") for job in tuned.values()} == {"pretrain/base_tiny"}


def test_the_start_and_the_target_are_fine_tuned_alike() -> None:
    full, retain = (settings(f"train/{name}_tiny") for name in ("full", "retain90"))
    assert full == retain


def test_it_needs_no_network_and_compiles_without_a_warning() -> None:
    assert not of_kind(NAME, "fetch")
    assert {job.settings["source"] for job in of_kind(NAME, "prepare")} == {"authors"}
    assert plan(NAME).warnings == ()
