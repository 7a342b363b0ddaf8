"""Recipes: stages on sequences, mixes and pools; warm starts; rounds; adapters; starts that the plan trains."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compiler.project import Project
from tests.compiler.small import AXES, COMBINED, inputs, jobs, plan, validate

LORA = {
    "lora": {
        "about": "A few weights",
        "settings": {"type": "lora", "rank": 4, "alpha": 8, "dropout": 0.0, "targets": ["q_proj"]},
    }
}
SFT_AND = {"about": "SFT, and more", "stages": [{"algorithm": "sft", "dataset": "truth"}]}


def method(*stages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"methods": {"own": {"about": "For this test", "stages": list(stages), **more}}}


def on(domain: str, name: str = "gt_sft") -> dict[str, list[str]]:
    return {**AXES, "method": [name], "domain": [domain]}


# --- domains made of domains ------------------------------------------------------------------------------------------


def test_in_a_sequence_every_domain_goes_on_from_the_one_before(project: Project) -> None:
    trained = jobs(plan(project, axes=on("first_sums"), define=COMBINED), "train")
    assert list(trained) == ["gt_sft_first_sums_base_nano.1_sft", "gt_sft_first_sums_base_nano"]
    first, second = trained.values()
    assert inputs(first) == {"start": "pretrain/base_nano", "data": "build/truth_sums"}
    assert inputs(second) == {"start": "train/gt_sft_first_sums_base_nano.1_sft", "data": "build/truth_facts"}
    assert (first["settings"]["max_length"], second["settings"]["max_length"]) == (64, 48), "each domain's own settings"


def test_what_sequences_begin_with_alike_is_trained_once_and_named_after_the_cell_that_it_is(project: Project) -> None:
    axes = {**AXES, "domain": ["first_sums", "sums", "first_facts", "facts"]}
    trained = jobs(plan(project, axes=axes, define=COMBINED), "train")
    assert sorted(trained) == [f"gt_sft_{domain}_base_nano" for domain in ("facts", "first_facts", "first_sums", "sums")]
    assert inputs(trained["gt_sft_first_sums_base_nano"])["start"] == "train/gt_sft_sums_base_nano"


def test_a_mix_takes_from_each_domain_by_its_share(project: Project) -> None:
    found = plan(project, axes=on("both"), define=COMBINED)
    mix = jobs(found, "mix")["truth_both"]
    assert inputs(mix) == {"sums": "build/truth_sums", "facts": "build/truth_facts"}
    assert mix["settings"]["parts"] == [
        {"name": "sums", "share": 1, "grader": "math"}, {"name": "facts", "share": 3, "grader": "qa"},
    ]  # fmt: skip
    (trained,) = jobs(found, "train").values()
    assert inputs(trained)["data"] == "mix/truth_both"
    assert trained["cost"]["examples"] == 133, "all 100 facts, and a third as many sums"


def test_the_control_of_a_sequence_trains_on_shards_of_the_pool(project: Project) -> None:
    found = plan(project, axes=on("pooled"), define=COMBINED)
    assert {name: job["settings"]["shard"] for name, job in jobs(found, "mix").items()} == {
        "truth_pooled.part1": {"index": 1, "of": 2}, "truth_pooled.part2": {"index": 2, "of": 2},
    }  # fmt: skip
    first, second = jobs(found, "train").values()
    assert inputs(second) == {"start": f"train/{first['id'][6:]}", "data": "mix/truth_pooled.part2"}
    assert first["cost"]["examples"] == 100


def test_rows_of_a_mix_are_graded_each_by_its_own(project: Project) -> None:
    define = {**COMBINED, "domains": {**COMBINED["domains"]}}
    define["domains"]["both"] = {**define["domains"]["both"], "algorithms": {"grpo": {"max_prompt_tokens": 64}}}
    (trained,) = jobs(plan(project, axes=on("both", "on_rl"), define=define), "train").values()
    assert trained["settings"]["grader"] == "by_row"


@pytest.mark.parametrize(
    ("domains", "message"),
    [
        ({"x": {"about": "x", "mix": {"first_sums": 1, "facts": 1}}}, "has none of its own: it is a combination"),
        ({"x": {"about": "x", "sequence": ["x", "facts"]}}, "made of each other in a circle"),
        ({"x": {"about": "x", "iid": ["sums", "sums"]}}, "names 'sums' twice"),
        ({"x": {"about": "x", "mix": {"sums": 1, "facts": 1}}}, "the parts of domain 'x' differ in 'max_length'"),
        ({"x": {"about": "x"}}, "exactly one of settings"),
        ({"x": {"about": "x", "sequence": ["sums", "fcats"]}}, "there is no domain 'fcats'"),
    ],
)
def test_a_combination_that_makes_no_sense_is_one_message(domains: dict[str, Any], message: str, project: Project) -> None:
    define = {"domains": {"first_sums": COMBINED["domains"]["first_sums"], **domains}}
    result = validate(project, axes=on("x"), define=define)
    assert (result.code, len(result.errors)) == (1, 1), result.err
    assert message in result.err


# --- stages -----------------------------------------------------------------------------------------------------------

SFT = {"algorithm": "sft", "dataset": "truth"}
RL = {"algorithm": "grpo", "dataset": "prompts"}


@pytest.mark.parametrize(
    ("point", "step"), [({"step": 7}, 7), ({"fraction": 0.5}, 10), ({"epoch": 1}, 13)], ids=["step", "fraction", "epoch"]
)
def test_a_stage_may_begin_from_an_intermediate_checkpoint(point: dict[str, Any], step: int, project: Project) -> None:
    found = plan(project, axes=on("sums", "own"), define=method(SFT, {**RL, "init_from": point}))
    first, second = jobs(found, "train").values()
    assert inputs(second)["start"] == f"pick/own_sums_base_nano.1_sft.step{step}"
    pick = jobs(found, "pick")[f"own_sums_base_nano.1_sft.step{step}"]
    assert (inputs(pick), pick["settings"]) == ({"run": first["id"]}, {"step": step})
    assert first["execution"]["keep"] == [step], "100 rows, 8 a step: 13 an epoch; 20 steps in all"


def test_what_a_training_must_keep_is_no_part_of_its_fingerprint(project: Project) -> None:
    alone = jobs(plan(project), "train")["gt_sft_sums_base_nano"]
    warm = plan(project, axes={**AXES, "method": ["gt_sft", "own"]}, define=method(SFT, {**RL, "init_from": {"step": 7}}))
    kept = jobs(warm, "train")["gt_sft_sums_base_nano"]
    assert kept["fingerprint"] == alone["fingerprint"]
    assert "keep" not in alone["execution"] and kept["execution"]["keep"] == [7]
    assert "submit train/gt_sft_sums_base_nano" in (project.tree / "submit_all.sh").read_text()
    assert " steps 7 after " in (project.tree / "submit_all.sh").read_text()


def test_the_last_step_is_the_end(project: Project) -> None:
    found = plan(project, axes=on("sums", "own"), define=method(SFT, {**RL, "init_from": {"step": 20}}))
    assert not jobs(found, "pick")


def test_finish_comes_once_on_the_last_domain(project: Project) -> None:
    define = {**COMBINED, **method(SFT, finish=[RL])}
    trained = jobs(plan(project, axes=on("first_sums", "own"), define=define), "train")
    assert [job["what"] for job in trained.values()] == ["sft", "sft", "grpo"]
    assert inputs(list(trained.values())[-1])["data"] == "build/prompts_facts"


def test_rounds_sample_from_the_model_that_the_round_before_made(project: Project) -> None:
    sampling = {"samples": 1, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 9, "prompts": 50, "seed": 1}
    traces = {"model": "previous", "backend": "native", "resources": "cpu", "rounds": 2, "settings": sampling}
    own = {"about": "Own", "type": "dataset.sft", "traces": traces,
           "settings": {"keep": "first_correct", "per_question": None, "limit": None, "seed": 1}}  # fmt: skip
    define = {**method({"algorithm": "sft", "dataset": "own", "repeat": 3}), "datasets": {"own": own}}
    found = plan(project, axes=on("sums", "own"), define=define)
    names = list(jobs(found, "train"))
    assert [inputs(job)["model"] for job in jobs(found, "generate").values()] == [
        "pretrain/base_nano", f"train/{names[0]}", f"train/{names[1]}",
    ]  # fmt: skip
    built = list(jobs(found, "build").values())
    assert ["traces_before" in inputs(job) for job in built] == [False, True, True]
    assert inputs(built[2])["traces_before"] == inputs(built[1])["traces"]


@pytest.mark.parametrize(
    ("point", "message"),
    [({"step": 21}, "takes 20 steps"), ({"step": 1, "epoch": 1}, "exactly one"), ({"fraction": 1.5}, "fraction")],
)
def test_a_checkpoint_that_there_is_not_is_one_message(point: dict[str, Any], message: str, project: Project) -> None:
    result = validate(project, axes=on("sums", "own"), define=method(SFT, {**RL, "init_from": point}))
    assert (result.code, len(result.errors)) == (1, 1), result.err
    assert message in result.err


def test_steps_that_only_sampling_tells_must_be_declared(project: Project) -> None:
    define = method(
        {"algorithm": "sft", "dataset": "own_answers", "settings": {"steps": None, "epochs": 2}},
        {**RL, "init_from": {"fraction": 0.5}},
    )
    result = validate(project, axes=on("sums", "own"), define=define)
    assert result.code == 1 and "is not known before its data is there" in result.err
    assert "give its domain `examples: {own_answers: N}`" in result.err
    define["domains"] = {"sums": {"extends": "sums", "examples": {"own_answers": 64}}}
    found = plan(project, axes=on("sums", "own"), define=define)
    assert list(jobs(found, "pick")) == ["own_sums_base_nano.1_sft.step8"]


# --- adapters and starts ----------------------------------------------------------------------------------------------


def test_an_adapter_is_merged_for_whoever_reads_the_model(project: Project) -> None:
    axes = {**AXES, "method": ["staged"], "adapter": ["full", "lora"]}
    full = {"full": {"about": "All weights", "settings": None}}
    found = plan(project, axes=axes, define={"adapters": {**LORA, **full}})
    trained = jobs(found, "train")
    assert {name: job["output"] for name, job in trained.items()} == {
        "staged_sums_base_nano_full.1_sft": "checkpoint.hf", "staged_sums_base_nano_full": "checkpoint.hf",
        "staged_sums_base_nano_lora.1_sft": "checkpoint.adapter", "staged_sums_base_nano_lora": "checkpoint.adapter",
    }  # fmt: skip
    assert inputs(trained["staged_sums_base_nano_lora"])["start"] == "merge/staged_sums_base_nano_lora.1_sft"
    merged = jobs(found, "merge")["staged_sums_base_nano_lora"]
    assert inputs(merged) == {
        "start": "merge/staged_sums_base_nano_lora.1_sft", "adapter": "train/staged_sums_base_nano_lora",
    }  # fmt: skip
    assert inputs(jobs(found, "evaluate")["staged_sums_base_nano_lora.harm"])["model"] == "merge/staged_sums_base_nano_lora"


def test_a_start_may_be_trained_by_the_plan_and_is_the_cell_that_does_the_same(project: Project) -> None:
    made = {"prompt": {"template": "plain", "thinking": False},
            "trained": {"method": "gt_sft", "domain": "sums", "start": "base"}}  # fmt: skip
    define = {"scales": {"nano": {"extends": "nano", "starts": {"taught": made}}}}
    axes = {**AXES, "start": ["base", "taught"], "domain": ["sums", "facts"]}
    found = plan(project, axes=axes, define=define)
    assert len(jobs(found, "train")) == 4
    assert inputs(jobs(found, "train")["gt_sft_facts_taught_nano"])["start"] == "train/gt_sft_sums_base_nano"


def test_a_start_that_trains_itself_is_one_message(project: Project) -> None:
    made = {"prompt": {"template": "plain", "thinking": False},
            "trained": {"method": "gt_sft", "domain": "sums", "start": "own"}}  # fmt: skip
    define = {"scales": {"nano": {"extends": "nano", "starts": {"own": made}}}}
    result = validate(project, axes={**AXES, "start": ["own"]}, define=define)
    assert (result.code, len(result.errors)) == (1, 1)
    assert "go round in a circle: own -> own" in result.err
