"""What is read and checked quickly comes out as the libraries say that are left out for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.configs import parse_config
from compiler.language.schemas import surely_right, validator
from compiler.text import yaml_block
from tests.compiler.project import REPOSITORY

# What YAML reads in its own way, at the beginning, the end and in the middle of values.
WORDS = [
    "yes", "No", "true", "True", "null", "~", "1e5", "1e-5", "0x1f", "010", "1_0", "1:30", "2024-01-01", ".inf", "-1", "+1",
    "1.", "1.5e3", "1.0e-05", "a b", "a: b", "a #b", "a#", "- a", "a,b", "a, b", "a], [b", "[a", "{a", "'q'", '"\\x41"',
    '"\\u00e9"', "é", "*a", "&a", "!x", "|", ">", "%", "@", "=", "<<", "y", "x/y", "foo.bar", "-", "", "#", "a:", "a: b: c",
]  # fmt: skip
words = st.sampled_from(WORDS)
flows = st.recursive(
    words,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(words, inner), max_size=3).map(lambda items: f"{{{', '.join(f'{k}: {v}' for k, v in items)}}}")
    ),
    max_leaves=6,
)
BEGINNINGS = ["a: ", "b: ", "c:", "- ", "yes: ", "a:  ", '"k": ', "# ", "d: ["]
lines = st.builds(lambda margin, key, value: " " * margin + key + value, st.integers(0, 4), st.sampled_from(BEGINNINGS), flows)


def by_pyyaml(text: str) -> Any:
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def outcome(read: Any, text: str) -> str:
    """What a reader makes of a text, with types; or that it refuses it."""
    try:
        return repr(read(text))
    except (yaml.YAMLError, ValueError) as error:
        return "refused" if isinstance(error, yaml.YAMLError) else "no value"


@settings(max_examples=1000)
@given(st.lists(lines, max_size=5) | flows.map(lambda value: ["k:", f"  - {value}"]))
def test_any_text_is_read_as_pyyaml_reads_it(text: list[str]) -> None:
    whole = "\n".join(text) + "\n"
    assert outcome(parse_config, whole) == outcome(by_pyyaml, whole)


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | words
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


@given(st.dictionaries(names, values, min_size=1))
def test_what_is_written_is_read_as_pyyaml_reads_it(data: dict[str, Any]) -> None:
    assert outcome(parse_config, yaml_block(data)) == outcome(by_pyyaml, yaml_block(data))


def test_the_configs_of_the_repository_need_no_pyyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [path.read_text() for path in sorted((REPOSITORY / "generated" / "micro" / "configs").rglob("*.yaml"))]
    expected = [repr(by_pyyaml(text)) for text in texts]
    monkeypatch.setattr(yaml, "load", None)
    assert len(texts) > 100 and [repr(parse_config(text)) for text in texts] == expected


SCHEMAS = [json.loads(path.read_text()) for path in sorted((REPOSITORY / "templates" / "backends").glob("*/*.schema.json"))]
GROUPS = [{**schema["properties"]["settings"], "$defs": schema.get("$defs", {})} for schema in SCHEMAS]
odd = st.sampled_from(
    [0, 1, -1, 1.0, 0.5, True, False, None, "", "x", [], [1], ["a", "a"], {}, {"type": "lora"}, float("nan"), 1e9]
)


@settings(max_examples=500)
@given(st.data())
def test_nothing_is_right_that_jsonschema_finds_wrong(data: st.DataObject) -> None:
    schema = data.draw(st.sampled_from(GROUPS))
    named = {
        name: odd | st.sampled_from(said.get("enum", [said.get("minimum", 1)])) for name, said in schema["properties"].items()
    }
    value = data.draw(st.fixed_dictionaries({}, optional={**named, "unknown": odd}))
    assert surely_right(schema, value) == validator(schema).is_valid(value)


OTHERS = [  # what schemas of other packages' backends may say
    {"properties": {"a": {"type": "integer"}, "b": {"$ref": "#/properties/a"}}},
    {"properties": {"a": {"not": {"$ref": "#/properties/b"}}, "b": {"type": "string"}}},
    {"properties": {"a": {"not": {"uniqueItems": True}}}},
    {"properties": {"a": True, "b": False}, "if": {"required": ["a"]}, "else": False},
    {
        "if": {"properties": {"a": {"const": 1}}},
        "then": {"required": ["b"]},
        "else": {"properties": {"b": {"enum": [0, None]}}},
    },
]


@given(st.sampled_from(OTHERS), st.fixed_dictionaries({}, optional={"a": odd | st.just([1, 1]), "b": odd}))
def test_no_schema_is_beyond_it(schema: dict[str, Any], value: dict[str, Any]) -> None:
    assert not surely_right(schema, value) or validator(schema).is_valid(value)
