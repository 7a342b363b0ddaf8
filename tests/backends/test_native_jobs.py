"""What mix, pick and merge are given: what their schemas allow is what the runtime's jobs read."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.backends import Part, part
from tests.backends import catalog

MIX: dict[str, Any] = {
    "type": "dataset.sft",
    "format": "jsonl",
    "parts": [{"name": "math", "share": 0.5, "grader": "math"}, {"name": "prose", "share": 0.5, "grader": None}],
    "seed": 0,
    "shard": {"index": 1, "of": 2},
}
GIVEN: dict[str, dict[str, Any]] = {"mix": MIX, "pick": {"step": 500}, "merge": {"step": None}}


def found(what: str) -> Part:
    return part("native", what, catalog.HERE)


@pytest.mark.parametrize("what", GIVEN)
def test_the_config_is_the_settings_and_the_command_is_the_runtimes(what: str) -> None:
    values = {"settings": GIVEN[what], "execution": {}}
    assert catalog.wrong(found(what), values) == []
    assert catalog.rendered(found(what), values) == GIVEN[what]
    launched = found(what).render_launch(GIVEN[what], {}, {"kind": what})
    assert launched == f'exec python -m runtime {what} "$LETHE_CONTRACT"'


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("mix", {"parts": MIX["parts"][:1]}),
        ("mix", {"parts": [{"name": "math", "share": 0, "grader": "math"}, MIX["parts"][1]]}),
        ("mix", {"parts": [{"name": "math", "share": 1, "grader": "by_row"}, MIX["parts"][1]]}),
        ("mix", {"shard": {"index": 0, "of": 2}}),
        ("mix", {"type": "dataset.rows"}),
        ("pick", {"step": None}),
        ("pick", {"step": 0}),
        ("merge", {"step": "last"}),
    ],
)
def test_the_schema_refuses(what: str, change: dict[str, Any]) -> None:
    assert catalog.wrong(found(what), {"settings": {**GIVEN[what], **change}, "execution": {}})


@pytest.mark.parametrize("what", ["pick", "merge"])
def test_a_checkpoint_of_a_step_is_one_that_everything_reads(what: str) -> None:
    assert found(what).output == "checkpoint.hf"


@pytest.mark.parametrize("what", ["pi_distill", "npo"])
def test_the_runtimes_own_trainers_can_be_told_what_to_keep(what: str) -> None:
    assert "keep" in found(what).takes("execution")
    assert "keep" not in found(what).schema["properties"]["execution"]["required"]


def build(**change: Any) -> dict[str, Any]:
    settings = {
        "domain": "math", "type": "dataset.preference", "keep": "truth_vs_own", "per_question": 1, "limit": None,
        "seed": 0, "format": "jsonl", **change,
    }  # fmt: skip
    return {"settings": settings, "execution": {}}


def test_how_many_samples_must_be_correct_is_said_where_it_counts_and_nowhere_else() -> None:
    kept = {"type": "dataset.sft", "keep": "at_least"}
    assert catalog.wrong(found("build"), build(**kept, per_question=None, least=3)) == []
    assert catalog.wrong(found("build"), build(**kept, per_question=2, least=3)) == []
    message = "give least with it, and with no other rule"
    assert any(message in said for said in catalog.wrong(found("build"), build(**kept)))
    assert any(message in said for said in catalog.wrong(found("build"), build(least=3)))
    assert catalog.wrong(found("build"), build(**kept, least=0))


def test_self_play_is_for_pairs_and_needs_to_know_how_many_answers_to_take() -> None:
    assert catalog.wrong(found("build"), build()) == []
    assert catalog.wrong(found("build"), build(per_question=None))
    assert catalog.wrong(found("build"), build(type="dataset.sft"))
