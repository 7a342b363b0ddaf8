"""Lethe misses no mistake that a package catches: mutations.yaml, put to both, and the table of it in docs/backends.md.

To write the table again: LETHE_GOLDEN=write python -m pytest tests/backends/test_mutations.py
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.backends import mutations
from tests.backends.mutations import Mutation
from tests.backends.real import ask_lm_eval, ask_trl, outside

PARTS = sorted(mutations.read())
PAGE = mutations.REPOSITORY / "docs" / "backends.md"
BEGIN, END = "<!-- mutations: written by tests/backends/test_mutations.py -->\n", "<!-- end of mutations -->\n"
WIDEST = 96

Answer = Mapping[str, str] | None


@pytest.fixture(scope="module")
def lethes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str | None]:
    """What `lethe compile` says of each mistake."""
    folder = tmp_path_factory.mktemp("mutations")
    return {row.id: mutations.said_by_lethe(row, folder) for row in mutations.mutations()}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Answer]:
    """What the real package says of each mistake that it can be told of, and of the same config without it."""
    folder = tmp_path_factory.mktemp("right")
    return {key: answer for part in PARTS for key, answer in _asked(part, folder).items()}


def _asked(part: str, folder: Path) -> dict[str, Answer]:
    rows = [row for row in mutations.mutations(part) if row.package is not None]
    changes: list[Mapping[str, object]] = [{}, *(row.package or {} for row in rows)]
    config, backend = mutations.config(part, folder), part.split("/")[0]
    answers: Sequence[Answer]
    if backend == "verl":
        answers = outside.ask_verl([{"config": config, "set": change} for change in changes])
    elif backend == "vllm":
        answers = outside.ask_vllm([nested(change) for change in changes])
    else:
        ask = ask_trl.answer if backend == "trl" else ask_lm_eval.answer
        answers = [ask(config, change) for change in changes]
    return dict(zip([part, *(row.id for row in rows)], answers, strict=True))


def nested(change: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """`{"engine.dtype": 1}` as `{"engine": {"dtype": 1}}`."""
    found: dict[str, dict[str, object]] = {}
    for place, value in change.items():
        part, _, name = place.partition(".")
        found.setdefault(part, {})[name] = value
    return found


def test_the_studies_without_a_mistake_compile(tmp_path: Path) -> None:
    for part in PARTS:
        nothing = Mutation(part, "nothing", {}, {}, {}, None)
        assert mutations.said_by_lethe(nothing, tmp_path) is None, part


def test_every_mistake_is_one_of_its_own() -> None:
    told = [row.id for row in mutations.mutations()]
    assert len(told) == len(set(told)) >= 160


@pytest.mark.parametrize("part", PARTS)
def test_lethe_stops_at_every_mistake(part: str, lethes: Mapping[str, str | None]) -> None:
    assert [row.wrong for row in mutations.mutations(part) if lethes[row.id] is None] == []


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_the_package_takes_the_config_without_a_mistake(part: str, packages: Mapping[str, Answer]) -> None:
    assert packages[part] is None


@pytest.mark.slow
def test_the_table_says_what_both_say(lethes: Mapping[str, str | None], packages: Mapping[str, Answer]) -> None:
    table = BEGIN + "\n" + told(lethes, packages) + "\n" + END
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(BEGIN, 1)
    written = head + table + rest.split(END, 1)[1]
    if os.environ.get("LETHE_GOLDEN") == "write":
        PAGE.write_text(written, encoding="utf-8")
    assert page == written or os.environ.get("LETHE_GOLDEN") == "write", "LETHE_GOLDEN=write writes the table again"


def told(lethes: Mapping[str, str | None], packages: Mapping[str, Answer]) -> str:
    """The counts, and a table a part: what is wrong, what the package says before a node is asked for, what Lethe says."""
    counts = ["| | mistakes | the package stops | Lethe stops | Lethe alone |", "|---|---|---|---|---|"]
    counts += [_counted(part, mutations.mutations(part), lethes, packages) for part in PARTS]
    counts.append(_counted("**all**", mutations.mutations(), lethes, packages))
    tables = []
    for part in PARTS:
        rows = [f"| {row.wrong} | {_package(row, packages)} | {_cell(lethes[row.id])} |" for row in mutations.mutations(part)]
        tables.append("\n".join([f"### {part}", "", "| mistake | the package | Lethe |", "|---|---|---|", *rows, ""]))
    return "\n".join([*counts, "", *tables])


def _counted(name: str, rows: Sequence[Mutation], lethes: Mapping[str, str | None], packages: Mapping[str, Answer]) -> str:
    theirs = {row.id for row in rows if packages.get(row.id)}
    ours = {row.id for row in rows if lethes[row.id]}
    return f"| {name} | {len(rows)} | {len(theirs)} | {len(ours)} | {len(ours - theirs)} |"


def _package(row: Mutation, packages: Mapping[str, Answer]) -> str:
    answer = packages.get(row.id)
    return (
        "has no words for it" if row.package is None else _cell(f"{answer['by']}: {answer['says']}") if answer else "takes it"
    )


def _cell(text: str | None) -> str:
    line = " ".join((text or "takes it").split()).replace("|", "\\|").replace("<", "&lt;")
    return line if len(line) <= WIDEST else line[: WIDEST - 1] + "…"
