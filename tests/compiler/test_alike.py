"""Cells that differ in some numbers alone: they are made together, and each comes out as it would alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.compiler.project import REPOSITORY, Project

AXES = "  start: [base, safe]\n"
RATES = ["1e-5", "0.25", "1", "1.0", "1e-7", "0.123456789012345"]


def sweep(project: Project, axes: str) -> None:
    """The toy study with one start, and these axes beside its own, in lines of theirs."""
    text = project.spec.read_text()
    kept = re.sub(r"(?s)\nrules:.*?\n(?=evaluate:)", "\n", text).replace(AXES, f"  start: [base]\n{axes}")
    project.spec.write_text(kept)


def trainings(project: Project) -> dict[str, tuple[Any, ...]]:
    """What stands of every training: its config, contract, script and place in the plan."""
    jobs = project.jobs()
    names = [name for name in jobs if name.startswith("train/")]
    return {name: (*(read(project.tree, place.format(name)) for place in PLACES), jobs[name]) for name in names}


PLACES = ("configs/{}.yaml", "jobs/{}.json", "jobs/{}.sh")


def read(tree: Path, name: str) -> str:
    return (tree / name).read_text()


@pytest.mark.parametrize("rate", RATES)
def test_a_cell_of_a_sweep_has_every_byte_that_it_has_alone(project: Project, rate: str) -> None:
    others = [other for other in RATES[:3] + RATES[4:] if float(other) != float(rate)]  # 1 and 1.0 are one value
    sweep(project, f"  lr: [{', '.join([*others, rate])}]\n  seed: [1, 2, 30]\n")
    project.compile()
    together = trainings(project)
    text = re.sub(r"lr: \[.*\]", f"lr: [{rate}]", project.spec.read_text()).replace("[1, 2, 30]", "[30]")
    project.spec.write_text(text)
    project.compile()
    alone = trainings(project)
    ends = [name for name in alone if name.endswith("_seed30")]
    assert ends and set(ends) <= set(together)
    assert {name: alone[name] for name in ends} == {name: together[name] for name in ends}


def test_each_number_cites_the_line_that_says_it(project: Project) -> None:
    sweep(project, "  lr:\n    - 1e-3\n    - 2e-3\n    - 3e-3\n")
    project.compile()
    spec = project.spec.read_text().splitlines()
    for value in ("1e-3", "2e-3", "3e-3"):
        line = spec.index(f"    - {value}") + 1
        config = read(project.tree, f"configs/train/gt_sft_sums_base_nano_lr{float(value)}.yaml")
        assert re.search(rf"learning_rate: {float(value)}  # \S*toy\.yaml:{line}\n", config)


def test_a_wrong_number_among_right_ones_is_told_at_its_place(project: Project) -> None:
    sweep(project, "  lr:\n    - 1e-3\n    - 2e-3\n    - -1\n")
    done = project.lethe("compile", "specs/toy.yaml")
    line = project.spec.read_text().splitlines().index("    - -1") + 1
    assert done.code == 1 and not project.generated.exists()
    assert any(f"toy.yaml:{line}:" in error and "'lr'" in error and "-1" in error for error in done.errors)


def test_a_number_that_breaks_a_rule_with_another_value_is_told(project: Project) -> None:
    project.edit("catalog/recipes.yaml", "    execution: &one_core\n      micro_batch_size: 1\n", RULED)
    sweep(project, "  batch_size: [8, 4, 6]\n")
    done = project.lethe("compile", "specs/toy.yaml")
    assert done.code == 1
    assert any("'batch_size'" in error and error.endswith("is 6") for error in done.errors)


RULED = "    execution: &one_core\n      micro_batch_size: 4\n"


def test_text_like_that_of_a_hole_is_left_as_it_is(project: Project) -> None:
    odd = "LETHE_HOLE_lr, %(lr)s and %%"
    project.spec.write_text(project.spec.read_text().replace("Four methods on two toy domains", f'"{odd}"'))
    sweep(project, "  lr: [1e-3, 2e-3]\n")
    project.compile()
    assert project.plan()["about"] == project.jobs()["report/toy"]["settings"]["title"] == odd


@pytest.mark.parametrize("value", ["0.0", "0.5", "1.0"])
def test_a_number_that_says_whether_how_it_is_run_decides_says_so_for_its_own_cell(tmp_path: Path, value: str) -> None:
    together, alone = (preferences(tmp_path / str(number), values) for number, values in enumerate(("0.0, 0.5, 1.0", value)))
    [(name, job)] = alone.items()
    assert together[name] == job
    assert len(together) == 3 and (job["config"]["execution"]["devices"] == 1) == (value != "0.0")


def preferences(folder: Path, values: str) -> dict[str, Any]:
    """The trainings of a study of the miniature that sweeps the weight of the chosen answers in DPO, by their names."""
    (folder / "specs").mkdir(parents=True)
    for catalog in ("catalog", "miniature"):
        (folder / "specs" / catalog).symlink_to(REPOSITORY / "specs" / catalog)
    (folder / "specs/study.yaml").write_text(f"""\
study: sweep
about: The weight of the chosen answers
cluster: local
catalog: [catalog, miniature]
axes: {{method: [off_rl], domain: [math], start: [base], scale: [micro], sft_coef: [{values}]}}
evaluate: {{suites: [math]}}
tracking: {{wandb: disabled}}
""")
    done = Project(folder).lethe("compile", "specs/study.yaml")
    assert done.code == 0, done.err
    jobs = json.loads((folder / "generated/sweep/plan.json").read_text())["jobs"]
    return {job["id"]: job for job in jobs if job["kind"] == "train"}
