"""Where a merged value comes from: every layer that says something of it, the last of which won."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from compiler.language.catalog import read_catalog
from compiler.language.source import Tree, merged, read_tree

values = st.recursive(
    st.integers(0, 3) | st.none(),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=6,
)
mappings = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


def tree(folder: Path, name: str, text: str) -> Tree:
    (folder / name).write_text(text)
    return read_tree(folder / name)


def said(found: Tree, *path: str | int) -> list[tuple[str, str, Any]]:
    return [(label, f"{Path(at.file).name}:{at.line}:{at.column}", value) for label, at, value in found.chain(path)]


def test_each_layer_tells_its_place_and_value_the_lowest_first(tmp_path: Path) -> None:
    low = tree(tmp_path, "low.yaml", "settings:\n  lr: 1\n  batch: 8\n").below(("settings",)).labelled("algorithm sft")
    high = tree(tmp_path, "high.yaml", "x: 0\nlr: 2\n").labelled("domain math")
    both = merged(low, high)
    assert said(both, "lr") == [("algorithm sft", "low.yaml:2:7", 1), ("domain math", "high.yaml:2:5", 2)]
    assert said(both, "batch") == [("algorithm sft", "low.yaml:3:10", 8)]
    assert said(both, "nothing") == []
    assert said(merged(both, Tree("", {"lr": 3})), "lr")[-1][2] == 3


def test_a_part_of_a_merged_tree_keeps_its_layers(tmp_path: Path) -> None:
    low = tree(tmp_path, "low.yaml", "a: {b: {c: 1}}\n").labelled("low")
    high = tree(tmp_path, "high.yaml", "a: {b: {c: 2}}\n").labelled("high")
    assert said(merged(low, high).below(("a",)).below(("b",)), "c") == [
        ("low", "low.yaml:1:12", 1),
        ("high", "high.yaml:1:12", 2),
    ]


def test_what_replaces_a_mapping_hides_what_stood_in_it() -> None:
    low, middle = Tree("", {"a": {"b": 1}}, label="low"), Tree("", {"a": None}, label="middle")
    found = merged(merged(low, middle), Tree("", {"a": {"b": 3}}, label="high"))
    assert [(label, value) for label, _, value in found.chain(("a", "b"))] == [("high", 3)]


def test_a_definition_and_what_it_extends_are_two_layers(tmp_path: Path) -> None:
    (tmp_path / "catalog").mkdir()
    tree(
        tmp_path / "catalog", "a.yaml",
        "adapters:\n  lora:\n    about: x\n    settings: {rank: 16}\n  small:\n    extends: lora\n    settings: {rank: 4}\n",
    )  # fmt: skip
    study = tree(tmp_path, "study.yaml", "define:\n  adapters:\n    small: {extends: small, settings: {rank: 2}}\n")
    small = read_catalog([tmp_path / "catalog"], study).below("adapters", "small", ("settings",))
    assert said(small, "rank") == [
        ("adapter lora", "a.yaml:4:22", 16), ("adapter small", "a.yaml:7:22", 4), ("adapter small", "study.yaml:3:46", 2),
    ]  # fmt: skip


@given(st.lists(mappings, min_size=1, max_size=4))
def test_the_last_of_a_chain_is_the_value(layers: list[dict[str, Any]]) -> None:
    whole = Tree("", layers[0], label="0")
    for number, layer in enumerate(layers[1:], 1):
        whole = merged(whole, Tree("", layer, label=str(number)))
    for path, value in leaves(whole.data):
        told = whole.chain(path)
        assert told[-1][2] == value
        assert [int(label) for label, _, _ in told] == sorted(int(label) for label, _, _ in told)


def leaves(data: Any, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], Any]]:
    """Every value that is no mapping, with its path."""
    if not isinstance(data, dict):
        return [(path, data)]
    return [found for key, value in data.items() for found in leaves(value, (*path, key))]
