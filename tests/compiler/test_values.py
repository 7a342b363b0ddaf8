"""Values mean what people mean by them, and arrive in configs and shells as they were."""

from __future__ import annotations

import datetime
import json
import math
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.language.source import read_tree
from compiler.slurm import hours, memory, time_limit
from compiler.text import canonical_json, shell_expanded, shell_word, yaml_block, yaml_flow
from tests.compiler.project import Project


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5), ("1.5e3", 1500.0), (".5", 0.5), ("5.", 5.0), ("-1E+2", -100.0), ("+3", 3), ("0", 0), ("-7", -7),
        ("007", 7), (".inf", float("inf")), ("-.inf", float("-inf")), ("true", True), ("False", False), ("null", None),
        ("~", None), ("", None), ("8:00:00", "8:00:00"), ("2-00:00:00", "2-00:00:00"), ("no", "no"), ("on", "on"),
        ("yes", "yes"), ("off", "off"), ("y", "y"), ("0x1f", "0x1f"), ("0o17", "0o17"), ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"), ("1.2.3", "1.2.3"), ("e5", "e5"), ("1e", "1e"), ("inf", "inf"), ("nan", "nan"),
        ("=", "="), ("'1e-5'", "1e-5"), ('"true"', "true"), ("'~'", "~"), ('""', ""), 
        ("|\n  5\n", "5\n"), ("[1, 2e0]", [1, 2.0]),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(f"key: {text}\n")
    found = read_tree(file).data["key"]
    assert found == value and type(found) is type(value)


def test_not_a_number_is_a_number_to_the_reader(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("key: .nan\n")
    found = read_tree(file).data["key"]
    assert isinstance(found, float) and found != found


def test_keys_are_always_text(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("1: a\nno: b\n1.7b: c\n'': d\n")
    assert read_tree(file).data == {"1": "a", "no": "b", "1.7b": "c", "": "d"}


@pytest.mark.parametrize(
    "text", ["${HOME}x$", "caf\u00e9 \U0001f600", "a'b", 'a"b', "a: b # c", "- x", "%", "&a", "*a", "!t", "\\n"]
)
def test_a_setting_arrives_in_the_config_as_it_was_written(text: str, project: Project) -> None:
    project.edit("toy.yaml", "about: Four methods on two toy domains", f"about: {json.dumps(text, ensure_ascii=False)}")
    project.compile()
    config = yaml.safe_load((project.tree / "configs" / "report" / "toy.yaml").read_text(encoding="utf-8"))
    assert config["title"] == text
    assert project.plan()["about"] == text


HOSTILE = [
    "", " ", "a b", "it's", 'say "x"', "a\nb", "a\n", "\n", "a\tb", "# no comment", "a # b", "a: b", "a:", "- a", "-", "--",
    "? a",
    "[a", "{a", "}", "&a", "*a", "!a", "|", ">", "%a", "@a", "`a`", "1", "1.0", "1e5", "1e-05", "0x1f", "0o7", "1_000", ".5",
    "~",
    "null", "Null", "true", "True", "yes", "NO", "on", "off", "y", "n", "2024-01-01", "2024-01-01 10:00:00", "8:00:00",
    "190:20:30",
    ".inf", ".nan", "nan", "<<", "=", "\u00e9", "\u2028", "\x85", "\ufeff", "\x7f", "\U0001f600", "\\", "\\n", '\\"', "a,b",
    "a]b", "${A}",
]  # fmt: skip

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(HOSTILE)
scalars = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


@given(values)
@settings(max_examples=300)
def test_every_value_survives_yaml(value: Any) -> None:
    """Read by PyYAML, which is YAML 1.1 and so the reader that misunderstands most."""
    for text in (yaml_flow(value), yaml_block(value)):
        for loader in (yaml.SafeLoader, yaml.CSafeLoader):
            found = yaml.load(text, Loader=loader)
            assert found == value and typed(found) == typed(value), text
    assert "\n" not in yaml_flow(value)


@given(st.dictionaries(texts, values, max_size=5))
def test_every_value_survives_our_own_reader(value: dict[str, Any]) -> None:
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(yaml_block({"key": value}).encode())
        file.flush()
        assert read_tree(Path(file.name)).data == {"key": value}


def typed(value: Any) -> Any:
    """The types of a value, all the way down."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    return [typed(item) for item in value] if isinstance(value, list) else type(value)


def test_dates_cannot_come_back_as_dates() -> None:
    assert not isinstance(yaml.safe_load(yaml_flow("2024-01-01")), datetime.date)


def infinite(value: Any) -> bool:
    """Whether a value holds a number that JSON does not have."""
    if isinstance(value, dict | list):
        return any(map(infinite, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and math.isinf(value)


@given(values)
def test_canonical_json_is_json_and_blind_to_the_order_of_keys(value: Any) -> None:
    wrapped = {"z": value, "a": 1}
    if infinite(value):
        with pytest.raises(ValueError):
            canonical_json(wrapped)
    else:
        assert json.loads(canonical_json(wrapped)) == wrapped
        assert canonical_json(dict(reversed(wrapped.items()))) == canonical_json(wrapped)


def in_bash(words: list[str], **variables: str) -> list[str]:
    """What bash makes of words of a command line."""
    program = 'printf "%s\\0" ' + " ".join(words)
    done = subprocess.run(
        ["bash", "-euc", program],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **variables},
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    return done.stdout.decode().split("\0")[:-1]


shell_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(st.lists(shell_texts, min_size=30, max_size=60))
@settings(max_examples=15)
def test_a_shell_word_is_one_word_and_itself(words: list[str]) -> None:
    assert in_bash([shell_word(word) for word in words]) == words


@given(st.lists(st.text("$`\"'\\(){}[]!*?~#&;<>| \t\nab1_=:-", max_size=16), min_size=30, max_size=60))
@settings(max_examples=25)
def test_in_an_expanded_word_only_plain_variables_mean_anything(words: list[str]) -> None:
    """All names that can be spelt with these letters are of variables that hold just their name."""
    plain = [word.replace("$a", "$ a").replace("$b", "$ b").replace("$_", "$ _").replace("${", "$ {") for word in words]
    assert in_bash([shell_expanded(word) for word in plain]) == plain


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("$HOME/lethe", "/home/me/lethe"), ("${HOME}/lethe", "/home/me/lethe"), ("$HOMER", "doh"), ("a$", "a$"), ("$5", "$5"),
        ("$$", "$$"), ("$(reboot)", "$(reboot)"), ("`reboot`", "`reboot`"), ("$((1+1))", "$((1+1))"), ("${HOME:-$(reboot)}",
        "${HOME:-$(reboot)}"), ("${!HOME}", "${!HOME}"), ("\\$HOME", "\\/home/me"), ('"$HOME"', '"/home/me"'), ("$'a'", "$'a'"),
        ("~", "~"), ("*", "*"), ("a  b", "a  b"), ("!!", "!!"), ("${HOME", "${HOME"),
    ],
)  # fmt: skip
def test_variables_are_expanded_and_commands_are_not(text: str, seen: str) -> None:
    assert in_bash([shell_expanded(text)], HOME="/home/me", HOMER="doh") == [seen]


numbers = st.integers(0, 400)
sixty = st.integers(0, 59)


@given(days=numbers, h=st.integers(0, 23), m=sixty, s=sixty)
def test_the_six_forms_of_a_slurm_time(days: int, h: int, m: int, s: int) -> None:
    """M, M:S, H:M:S, D-H, D-H:M and D-H:M:S, as `man sbatch` has them."""
    assert hours(f"{m}") == pytest.approx(m / 60)
    assert hours(f"{m}:{s}") == pytest.approx((m * 60 + s) / 3600)
    assert hours(f"{h}:{m}:{s}") == hours(f"{h:02}:{m:02}:{s:02}") == pytest.approx((h * 3600 + m * 60 + s) / 3600)
    assert hours(f"{days}-{h}") == pytest.approx(days * 24 + h)
    assert hours(f"{days}-{h}:{m}") == pytest.approx(days * 24 + h + m / 60)
    assert hours(f"{days}-{h}:{m:02}:{s:02}") == pytest.approx((((days * 24 + h) * 60 + m) * 60 + s) / 3600)


@pytest.mark.parametrize(
    "text", ["", "1h", "-1", "1:2:3:4", "1-", "1-2:3:4:5", " 1", "1\n", "1.5", "UNLIMITED", "\u0663", "1:", ":1"]
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no Slurm time: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S"):
        hours(text)


@pytest.mark.parametrize("text", ["0", "0:00", "0-0:00:00"])
def test_a_time_limit_of_nothing_is_refused_because_slurm_would_take_it_for_no_limit(text: str) -> None:
    with pytest.raises(ValueError, match="Slurm reads 0 as for ever"):
        time_limit(text)


@given(st.integers(1, 10**6), st.sampled_from("KMGT"))
def test_sizes_with_a_unit_are_slurms(number: int, unit: str) -> None:
    assert memory(f"{number}{unit}") == f"{number}{unit}"
    assert memory("0") == "0"


@pytest.mark.parametrize("text", ["", "32", "32GB", "32 G", "G", "-1G", "1.5G", "0G", "32G\n"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no Slurm size"):
        memory(text)
