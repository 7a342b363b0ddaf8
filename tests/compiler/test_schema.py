"""The schema that editors use and the compiler say the same of every document, and the committed schema is the current one."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter, ValidationError

from compiler.diagnostics import SpecError
from compiler.language.definitions import SECTIONS
from compiler.language.schema import schema, text
from compiler.language.source import Tree, merged, read_tree
from compiler.language.study import Name, Study
from compiler.language.validation import parse
from tests.compiler.project import DATA, REPOSITORY

SPECS = [f for f in sorted((REPOSITORY / "specs").glob("*.yaml")) if not f.name.endswith(".selection.yaml")]
EDITORS = Draft202012Validator(schema())

ASKED = {"template": "chat", "thinking": False, "system": "x"}
WHOLE: dict[str, dict[str, Any]] = {
    "methods": {"about": "x", "stages": [{"algorithm": "sft", "dataset": "truth", "init_from": {"step": 5}, "repeat": 2}]},
    "algorithms": {"about": "x", "backend": "trl", "settings": {"lr": 1e-4}, "resources": "train", "pace": 0.5},
    "adapters": {"about": "x", "settings": None},
    "datasets": {
        "about": "x", "type": "dataset.sft", "settings": {},
        "traces": {"model": "start", "backend": "vllm", "settings": {}, "resources": "gpu", "rounds": 2},
    },
    "teachers": {"about": "x", "hub": "A/B", "revision": "main"},
    "domains": {"about": "x", "mix": {"a": 1, "b": 0.5}, "seed": 1, "measured_on": ["a"]},
    "scales": {
        "about": "x", "parameters": 4e9,
        "starts": {
            "a": {"prompt": ASKED, "pretrain": {"domains": ["a"], "settings": {}}}, "b": {"prompt": ASKED, "hub": "A/B"},
        },
    },
    "suites": {
        "about": "x", "backend": "lm_eval", "settings": {}, "resources": "eval", "domains": "cell", "checkpoints": {"log": 3},
        "held_out": {"math": ["gsm8k"]},
    },
    "clusters": {
        "about": "x", "executor": "slurm", "store": "/s", "account": "def-x", "limits": {"submitted": 10},
        "environments": {"train": {"modules": ["a"], "exports": {"A_B": "1"}, "unsets": ["C"]}},
        "resources": {"gpu": {"partition": "main", "time": "1-12:00", "cpus": 4, "mem": "32G", "gpus": 1, "gpu": "a100"}},
    },
}  # fmt: skip

names = st.sampled_from(["a", "b-1", "x.y", "Z9", "math"])
values = names | st.integers(1, 5) | st.sampled_from([1e-5, 0.5, 2.5]) | st.booleans()
settings_of = st.dictionaries(names, values, max_size=2)


def once(items: st.SearchStrategy[Any], least: int = 1) -> st.SearchStrategy[list[Any]]:
    return st.lists(items, min_size=least, max_size=3, unique_by=lambda item: (isinstance(item, bool), item))


def mappings(needed: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(needed, optional=optional)


where = st.dictionaries(names, values | once(values), max_size=2)
rules = st.one_of(
    mappings({"drop": names, "where": where, "why": names}, {}),
    mappings({"keep": names, "where": where, "why": names}, {"add": st.none()}),
    mappings({"add": names, "cells": st.dictionaries(names, once(values), max_size=2), "why": names}, {"where": st.none()}),
    mappings({"set": names, "where": where, "to": st.dictionaries(names, settings_of, max_size=2), "why": names}, {}),
)
checkpoints = st.one_of(
    st.sampled_from(["final", "all"]),
    mappings({"log": st.integers(2, 5)}, {}),
    mappings({"steps": st.lists(st.integers(1, 9), min_size=1, max_size=2)}, {"log": st.none()}),
    mappings({"fractions": st.lists(st.sampled_from([0.5, 1]), min_size=1, max_size=2)}, {}),
)
definitions = mappings({}, {section: st.dictionaries(names, st.just(whole), max_size=1) for section, whole in WHOLE.items()})
extensions = st.sampled_from(
    [
        {"algorithms": {"mine": {"extends": "a", "settings": {"lr": 1}}}},
        {"scales": {"mine": {"extends": "a", "starts": {"a": {"pretrain": {"resources": "gpu"}}}}}},
        {"clusters": {"mine": {"extends": "a", "resources": {"gpu": {"gpus": 2}}, "limits": {}}}},
        {"suites": {"mine": {"extends": "a", "domains": ["a"], "reference": True}}},
    ]
)
optional = {
    "catalog": st.lists(names, min_size=1, max_size=2), "name": st.sampled_from(["{scale}", None]),
    "zip": st.lists(once(names, 2), max_size=2), "rules": st.lists(rules, max_size=2),
    "match": st.lists(mappings({"same": st.sampled_from(["prompts", "start"]), "across": once(names), "why": names},
                               {"within": st.sampled_from([0, 0.5])}), max_size=1),
    "accept": st.lists(mappings({"differ": st.just("seed"), "across": names, "why": names}, {}), max_size=1),
    "budget": mappings({}, {"gpu_hours": st.sampled_from([0, 1.5]), "jobs": st.integers(1, 9), "storage": st.just("2T")}),
    "tracking": mappings({}, {"wandb": st.sampled_from(["online", "offline", "disabled"]), "project": names}),
    "define": definitions | extensions,
}  # fmt: skip
evaluate = mappings(
    {"suites": once(names)},
    {"checkpoints": checkpoints, "after": st.sampled_from(["last", "each"]), "baselines": st.booleans(),
     "confidence": st.just(0.9)},
)  # fmt: skip


@st.composite
def studies(draw: st.DrawFn) -> dict[str, Any]:
    """A document that is a study, as far as a document alone can tell."""
    found: dict[str, Any] = draw(mappings({"study": names, "about": st.text("ab c", max_size=5), "cluster": names}, optional))
    chosen = draw(st.none() | once(st.sampled_from(["method", "domain", "scale", "lr"])))
    if chosen is not None:
        found["from"] = {"study": "other.yaml", "select": "top 1 by gain", "axes": chosen}
    named = {axis: once(names) for axis in ("method", "domain", "start", "scale") if axis not in (chosen or ())}
    more = {"adapter": once(names), "lr": once(values), "speed": st.dictionaries(names, settings_of, min_size=1, max_size=2)}
    return found | {"axes": draw(mappings(named, more)), "evaluate": draw(evaluate)}


OTHERS: list[Any] = [
    None, True, 3, 0, -1, 0.5, 1.5, 95, "", "a b", "word", "final", "cell", "x" * 61, "8:00:00", "0:00", "32G", "0", [], {},
    ["a"], ["a", "a"], [1, True], [1, 2], [[]], [None], {"a": 1}, {"a": {}}, {"a b": {}}, {"extends": "a"}, {"step": 0.5},
    {"log": 2, "steps": [1]}, {"epoch": 0.5}, {"drop": "a"},
]  # fmt: skip


@st.composite
def broken(draw: st.DrawFn) -> dict[str, Any]:
    """A study in which one thing was left out, renamed, written twice, or replaced by something else."""
    found = copy.deepcopy(draw(studies()))
    holder, key = draw(st.sampled_from(list(places(found))))
    match draw(st.sampled_from(["remove", "rename", "double", "replace"])):
        case "remove":
            del holder[key]
        case "rename" if isinstance(holder, dict):
            word = draw(st.sampled_from([f"{key}x", "a b", "lr", "extends", "axes"]))
            assume(word not in holder)
            holder[word] = holder.pop(key)
        case "double" if isinstance(holder, list):
            holder.append(holder[key])
        case _:
            holder[key] = draw(st.sampled_from(OTHERS))
    return found


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every list or mapping in a document, with each of its keys."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield value, key
        yield from places(item)


def accepted(tree: Tree) -> bool:
    """Whether the compiler takes a document: the study, and each definition of its own on top of what it extends."""
    try:
        parse(Study, tree)
        for section, entries in (tree.data.get("define") or {}).items():
            assert section in SECTIONS, section
            for name in entries:
                parse(SECTIONS[section], whole(section, tree.below(("define", section, name))))
    except (SpecError, ValidationError, AssertionError):
        return False
    return True


def whole(section: str, definition: Tree) -> Tree:
    """A definition, on top of a right one where it extends another: one with all the starts, or classes, that it changes."""
    if not isinstance(definition.data, dict) or "extends" not in definition.data:
        return definition
    own = dict(definition.data)
    TypeAdapter(Name).validate_python(own.pop("extends"), strict=True)
    below = {field: named_like(value, own.get(field)) for field, value in WHOLE[section].items()}
    return merged(Tree("", below), replace(definition, data=own))


def named_like(value: Any, own: Any) -> Any:
    """A field of a right definition; of named parts, one of each name that `own` has."""
    named = isinstance(value, dict) and isinstance(own, dict) and value and all(isinstance(p, dict) for p in value.values())
    return {**value, **dict.fromkeys(own, next(iter(value.values())))} if named else value


@given(document=studies())
@settings(max_examples=100)
def test_editors_and_the_compiler_take_a_study(document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    assert not [error.message for error in EDITORS.iter_errors(document)]
    assert accepted(read(document, tmp_path_factory))


@given(document=broken())
@settings(max_examples=500)
def test_editors_and_the_compiler_agree_on_what_is_no_study(
    document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert EDITORS.is_valid(document) == accepted(read(document, tmp_path_factory))


def read(document: dict[str, Any], folders: pytest.TempPathFactory) -> Tree:
    """The document as the compiler reads it from a file. JSON is YAML."""
    file = folders.getbasetemp() / "document.yaml"
    file.write_text(json.dumps(document))
    return read_tree(file)


def test_an_integer_with_a_point_is_the_one_number_they_do_not_agree_on() -> None:
    found = schema()["$defs"]["Budget"]["properties"]["jobs"]
    assert Draft202012Validator(found).is_valid(3.0)
    document = {**base(), "budget": {"jobs": 3.0}}
    assert EDITORS.is_valid(document) and not accepted(Tree("", document))
    assert accepted(Tree("", {**base(), "budget": {"jobs": 3}}))


def base() -> dict[str, Any]:
    axes = {axis: ["a"] for axis in ("method", "domain", "start", "scale")}
    return {"study": "a", "about": "b", "cluster": "c", "axes": axes, "evaluate": {"suites": ["s"]}}


@pytest.mark.parametrize("path", [*SPECS, DATA / "specs" / "toy.yaml"], ids=lambda path: path.stem)
def test_every_spec_is_right_by_the_schema(path: Path) -> None:
    assert not [error.message for error in EDITORS.iter_errors(read_tree(path).data)]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_spec_begins_by_naming_the_schema(path: Path) -> None:
    assert path.read_text().splitlines()[0] == "# yaml-language-server: $schema=study.schema.json"


def test_the_committed_schema_is_current() -> None:
    """If not: `lethe schema > specs/study.schema.json`."""
    assert (REPOSITORY / "specs" / "study.schema.json").read_text(encoding="utf-8") == text()


def test_the_schema_is_one_of_its_draft_and_tells_what_everything_means() -> None:
    found = json.loads(text())
    Draft202012Validator.check_schema(found)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    silent = [f"{owner}.{name}" for owner, name, field in fields(found) if not field.get("description")]
    assert silent == []


def fields(found: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for owner, part in {"study": found, **found["$defs"]}.items():
        for name, field in part.get("properties", {}).items():
            yield owner, name, field


def test_editors_offer_the_words_and_examples_of_the_language() -> None:
    parts = schema()["$defs"]
    assert parts["Match"]["properties"]["same"]["enum"] == ["prompts", "examples", "tokens", "gpu_hours", "start"]
    assert parts["Axes"]["properties"]["method"]["examples"] == [["gt_sft", "on_rl"]]
    assert parts["Tracking"]["properties"]["wandb"]["default"] == "offline"
