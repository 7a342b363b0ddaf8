"""The schema that the compiler holds a report's settings against agrees with what the report reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

SCHEMA = json.loads((Path(__file__).parents[2] / "templates/backends/native/report.schema.json").read_text())


def problems(settings) -> list[str]:
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors({"settings": settings, "execution": {}})]


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)


def test_a_studys_settings_pass_with_and_without_axes_of_its_own(study):
    settings = study.config()
    assert problems(settings) == []
    settings["axes"].append("seed")
    for cell in settings["cells"]:
        cell["seed"] = "1"
    assert problems(settings) == []


@pytest.mark.parametrize(
    "change",
    [
        {"axes": ["method", "domain", "start"]},
        {"confidence": 0.5},
        {"confidence": 1},
        {"suites": []},
        {"suites": [{"name": "math", "tasks": [], "domain": None}]},
        {"suites": [{"name": "math", "tasks": ["gsm"]}]},
        {"cells": []},
        {"colour": "red"},
    ],
)
def test_what_the_report_could_not_read_does_not_pass(study, change):
    assert problems(study.config() | change)


def test_an_added_axis_tells_cells_apart(study):
    study.everything([1, 0], [1, 1], [0, 0])
    cells = [cell | {"seed": str(i)} for i, cell in enumerate(study.cells())]
    study.changed = {"axes": ["method", "domain", "start", "scale", "seed"], "cells": cells}
    study.report()
    lines = (study.folder("report/small") / "report.txt").read_text().splitlines()
    cells = [line.split()[:3] for line in lines if line.startswith("rl ")]
    assert cells[:2] == [["rl", "math", "seed2"], ["rl", "qa", "seed3"]]
