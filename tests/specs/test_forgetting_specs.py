"""The matrices that the study of forgetting planned and ran: each is one spec, and expands to exactly its cells."""

from __future__ import annotations

import shutil
from collections import Counter
from itertools import combinations, permutations, product
from pathlib import Path

import pytest

from compiler.diagnostics import SpecError
from compiler.pipeline import compile_study
from tests.specs.plans import SPECS, cell, cells, jobs, of_kind, plan, source, trainings

METHODS = ("gt_sft", "sf_sft", "cf_sft", "self", "on_rl", "off_rl", "pi")
DOMAINS = ("math", "code", "qa")
DATA_SETS = ("gsm8k", "hendrycks_math", "triviaqa")


def named(*axes: tuple[str, ...], join: str = "_") -> list[str]:
    """The product of axes, the first outermost, as names."""
    return [join.join(point) for point in product(*axes)]


# --- the design: 7 methods x 3 domains x 2 starts x 2 scales ---------------------------------------------------------


@pytest.mark.parametrize(("phase", "start"), [("phase1", "base"), ("phase2", "safe")])
def test_phases_1_and_2_have_21_cells_each(phase: str, start: str) -> None:
    assert cells(phase) == named(METHODS, DOMAINS, (start,), ("4b",))
    assert len(cells(phase)) == 21


def test_the_full_matrix_has_84_cells() -> None:
    assert cells("full_matrix") == named(METHODS, DOMAINS, ("base", "safe"), ("1.7b", "4b"))
    assert len(cells("full_matrix")) == 84


@pytest.mark.parametrize("phase", ["phase1", "phase2"])
def test_the_full_matrix_makes_nothing_again_that_a_phase_has_made(phase: str) -> None:
    whole = {job.path for job in plan("full_matrix").jobs}
    assert {job.path for job in plan(phase).jobs if job.kind != "report"} <= whole


def test_without_offline_preference_optimisation_phase_1_has_18_cells() -> None:
    assert cells("six_methods") == [name for name in cells("phase1") if not name.startswith("off_rl")]
    assert len(cells("six_methods")) == 18
    (rule,) = plan("six_methods").rules
    assert (rule["name"], rule["action"], rule["touched"]) == ("no_offline_rl", "drop", 3)


# --- what was run ----------------------------------------------------------------------------------------------------

# Rows trained on, steps and checkpoints of every SFT run, as the study's own table has them.
SFT_TABLE = {
    "gt_sft_gsm8k": (7473, 1401, 15),
    "gt_sft_hendrycks_math": (7397, 1386, 14),
    "gt_sft_triviaqa": (7500, 1404, 15),
    "sf_sft_gsm8k": (6946, 1302, 14),
    "sf_sft_hendrycks_math": (3151, 588, 6),
    "sf_sft_triviaqa": (6568, 1230, 13),
}
RL_STEPS = {"gsm8k": 7005, "hendrycks_math": 6930, "triviaqa": 7020}
WITH_RL = ("on_rl", "gt_sft_grpo", "sf_sft_grpo")


def real(name: str) -> str:
    """The id of a cell of the real study."""
    return f"{name}_thinking_1.7b"


def test_the_real_study_is_15_trainings() -> None:
    assert cells("real_study") == [real(name) for name in named(("gt_sft", "sf_sft", *WITH_RL), DATA_SETS)]
    assert len(of_kind("real_study", "train")) == 15, "a warm start shares the fine-tuning that it begins from"


@pytest.mark.parametrize("name", SFT_TABLE)
def test_sft_runs_have_the_steps_and_checkpoints_of_the_table(name: str) -> None:
    examples, steps, checkpoints = SFT_TABLE[name]
    (job,) = trainings("real_study", real(name))
    assert (job.cost["examples"], job.cost["steps"]) == (examples, steps)
    found = cell("real_study", real(name))
    assert [point.step for point in found.points] == [*range(100, steps, 100)]
    assert len({found.train, *(point.checkpoint for point in found.points)}) == checkpoints


@pytest.mark.parametrize("method", WITH_RL)
@pytest.mark.parametrize("data_set", DATA_SETS)
def test_no_rl_run_of_the_study_could_take_its_steps_in_one_job(method: str, data_set: str) -> None:
    job = trainings("real_study", real(f"{method}_{data_set}"))[-1]
    assert job.cost["steps"] == RL_STEPS[data_set]
    assert (job.resources["time"], round(job.cost["hours"])) == ("8:00:00", round(RL_STEPS[data_set] * 25 / 3600))
    (warning,) = [line for line in plan("real_study").warnings if line.startswith(f"{job.id}: ")]
    assert f"{RL_STEPS[data_set]:,} steps" in warning
    assert "time limit is 8 h: it is stopped and goes on, 7 starts in all" in warning


def test_only_the_nine_rl_runs_are_said_to_take_more_than_one() -> None:
    assert len([line for line in plan("real_study").warnings if "time limit" in line]) == 9


@pytest.mark.parametrize("method", ["gt_sft", "sf_sft"])
@pytest.mark.parametrize("data_set", DATA_SETS)
def test_warm_starts_begin_from_step_500_of_the_same_fine_tuning(method: str, data_set: str) -> None:
    tuned, grpo = trainings("real_study", real(f"{method}_grpo_{data_set}"))
    assert [tuned] == trainings("real_study", real(f"{method}_{data_set}"))
    begun = jobs("real_study")[source(grpo, "start")]
    assert (begun.kind, begun.settings["step"], source(begun, "shards")) == ("convert", 500, tuned.id)
    assert 500 in tuned.execution["keep"]


# --- what was listed for later ---------------------------------------------------------------------------------------

BACKLOG_MODELS = ("qwen3_1.7b", "qwen3_4b", "olmo_3_7b")
REGIMES = ("sft", "rl", "sft_plus_rl")


def backlog_ids() -> list[str]:
    """The 81 rows: model, then pair, then recipe, then regime."""
    pairs = combinations(("gsm8k", "polaris_math", "triviaqa"), 2)
    recipes = tuple(recipe for a, b in pairs for recipe in (f"{a}_then_{b}", f"{b}_then_{a}", f"{a}_plus_{b}"))
    return [f"{'__'.join(point)}__lora__self_distill" for point in product(BACKLOG_MODELS, recipes, REGIMES)]


def test_the_backlog_has_its_81_ids_in_their_order() -> None:
    assert cells("backlog") == backlog_ids()
    assert len(set(cells("backlog"))) == 81


def test_the_backlogs_261_trainings_are_207_jobs() -> None:
    chains = {name: trainings("backlog", name) for name in cells("backlog")}
    assert sum(map(len, chains.values())) == 261
    assert {job.id for chain in chains.values() for job in chain} == {job.id for job in of_kind("backlog", "train")}
    assert len(of_kind("backlog", "train")) == 207


def test_each_model_of_the_backlog_has_69_trainings_27_of_them_self_distillation() -> None:
    of_models = {
        model: {job.id: job for name in cells("backlog") if name.startswith(model) for job in trainings("backlog", name)}
        for model in BACKLOG_MODELS
    }
    assert [len(found) for found in of_models.values()] == [69, 69, 69]
    for found in of_models.values():
        assert Counter(job.what for job in found.values()) == {"sft": 18, "grpo": 24, "dpo": 27}


def test_every_row_of_the_backlog_ends_in_self_distillation_with_an_adapter() -> None:
    for name in cells("backlog"):
        *before, last = trainings("backlog", name)
        assert last.what == "dpo"
        assert all(job.what in ("sft", "grpo") for job in before)
        assert all(job.output == "checkpoint.adapter" for job in (*before, last))


def test_the_spreadsheet_has_its_96_rows_in_their_order() -> None:
    models, modes = ("1.7b", "4b", "olmo_3_7b"), ("forward", "reverse", "mixed", "iid")
    objectives, adapters = ("rl", "sft", "rl_sft", "self_distill"), ("lora", "full")
    assert cells("spreadsheet") == named(models, modes, objectives, adapters)
    assert len(cells("spreadsheet")) == 96


def test_three_pairs_are_trained_in_both_orders_mixed_and_in_shards() -> None:
    recipes = [
        recipe
        for a, b in combinations(DATA_SETS, 2)
        for recipe in (f"{a}_then_{b}", f"{b}_then_{a}", f"{a}_plus_{b}", f"{a}_{b}_iid")
    ]
    assert cells("pairs") == named(("on_rl",), tuple(recipes), ("safe",), ("1.7b",))
    assert len(cells("pairs")) == 12


def test_after_each_stage_of_a_sequence_both_domains_are_measured() -> None:
    found = cell("pairs", "on_rl_gsm8k_then_triviaqa_safe_1.7b")
    both = {"task.gsm8k", "task.triviaqa"}
    assert both <= set(found.before)
    assert both <= set(found.after)
    (between,) = found.points
    assert between.domain == "gsm8k"
    assert both <= set(between.after)
    first, _ = trainings("pairs", found.id)
    merged = source(jobs("pairs")[between.after["task.triviaqa"]], "model")
    assert source(jobs("pairs")[merged], "shards") == first.id


def test_a_mixture_is_half_of_each_and_a_control_is_the_pool_in_two_shards() -> None:
    (mixed,) = trainings("pairs", "on_rl_gsm8k_plus_triviaqa_safe_1.7b")
    settings = jobs("pairs")[source(mixed, "data")].settings
    assert [(part["name"], part["share"]) for part in settings["parts"]] == [("gsm8k", 0.5), ("triviaqa", 0.5)]
    assert settings["shard"] is None
    control = [jobs("pairs")[source(job, "data")] for job in trainings("pairs", "on_rl_gsm8k_triviaqa_iid_safe_1.7b")]
    assert [job.settings["shard"] for job in control] == [{"index": 1, "of": 2}, {"index": 2, "of": 2}]
    assert all(part["share"] is None for job in control for part in job.settings["parts"])


def test_three_cells_learn_from_another_family() -> None:
    assert cells("cross_family") == named(("cf_sft",), DATA_SETS, ("safe",), ("1.7b",))
    sampled = of_kind("cross_family", "generate")
    assert {source(job, "model") for job in sampled} == {"fetch/llama31_70b"}
    assert len(sampled) == len(of_kind("cross_family", "train")) == 3


def test_olmos_15_trainings_are_9_jobs() -> None:
    sequences = [f"{a}_then_{b}" for a, b in permutations(DATA_SETS, 2)]
    names = {f"on_rl_{domain}_safe_olmo_3_7b" for domain in (*DATA_SETS, *sequences)}
    assert (set(cells("olmo")), len(cells("olmo"))) == (names, 9)
    assert sum(len(trainings("olmo", name)) for name in names) == 15
    assert len(of_kind("olmo", "train")) == 9


def test_adapters_are_compared_with_all_weights_in_12_cells() -> None:
    assert cells("adapters") == named(("gt_sft", "sf_sft"), DATA_SETS, ("safe",), ("1.7b",), ("lora", "full"))
    for name in cells("adapters"):
        (job,) = trainings("adapters", name)
        lora = name.endswith("lora")
        assert job.output == ("checkpoint.adapter" if lora else "checkpoint.hf")
        assert job.settings["lr"] == (1e-4 if lora else 1e-5)


def test_whatever_reads_an_adapter_reads_it_merged_into_its_start() -> None:
    made = {job.id for job in of_kind("adapters", "train") if job.output == "checkpoint.adapter"}
    readers = [job for job in plan("adapters").jobs if made & {edge.job for edge in job.inputs}]
    assert {job.kind for job in readers} == {"merge"}
    assert {source(job, "start") for job in readers} == {"fetch/safe_1.7b"}
    assert len(readers) == len(made) == 6


# --- chosen by results, and in small ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["phase3", "micro_next"])
def test_a_conditional_phase_asks_for_its_selection_first(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(SPECS, tmp_path / "specs", ignore=shutil.ignore_patterns("*.selection.yaml"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError) as stopped:
        compile_study(Path(f"specs/{name}.yaml"))
    (said,) = stopped.value.diagnostics
    assert f"lethe select specs/{name}.yaml" in f"{said.message} {said.hint}"


def test_a_conditional_phase_has_the_cells_that_were_chosen() -> None:
    """What `lethe select` wrote after the miniature had really run is committed."""
    assert cells("micro_next") == [f"gt_sft_qa_base_micro_seed{seed}" for seed in (1, 2, 3)]


def test_the_small_chains_have_12_cells() -> None:
    assert cells("micro_chains") == [
        "gt_sft_math_full_seed1",
        "gt_sft_math_full_seed2",
        "gt_sft_math_lora_seed1",
        "gt_sft_math_lora_seed2",
        "gt_sft_math_then_qa_full_seed1",
        "gt_sft_math_then_qa_lora_seed1",
        "gt_sft_qa_then_math_full_seed1",
        "gt_sft_math_plus_qa_full_seed1",
        "gt_sft_math_qa_iid_full_seed1",
        "warm_grpo_math_full_seed1",
        "warm_grpo_math_lora_seed1",
        "sft_spin_math_full_seed1",
    ]


def test_the_small_warm_starts_begin_from_the_middle() -> None:
    picked, merged = (
        jobs("micro_chains")[source(trainings("micro_chains", f"warm_grpo_math_{adapter}_seed1")[-1], "start")]
        for adapter in ("full", "lora")
    )
    assert (picked.kind, picked.settings["step"]) == ("pick", 30)
    assert (merged.kind, merged.settings["step"]) == ("merge", 30)


def test_the_learning_rate_of_the_small_chains_goes_with_the_adapter() -> None:
    rates = {name: trainings("micro_chains", name)[0].settings["lr"] for name in cells("micro_chains")}
    assert {name: rate for name, rate in rates.items() if "lora" in name} == dict.fromkeys(
        (name for name in rates if "lora" in name), 5e-3
    )
    assert {rate for name, rate in rates.items() if "full" in name} == {1e-3}


def test_each_round_of_self_play_samples_the_round_before() -> None:
    tuned, first, second = trainings("micro_chains", "sft_spin_math_full_seed1")
    builds = [jobs("micro_chains")[source(job, "data")] for job in (first, second)]
    sampled = [jobs("micro_chains")[source(build, "traces")] for build in builds]
    assert [source(job, "model") for job in sampled] == [tuned.id, first.id]
    assert "traces_before" not in {edge.name for edge in builds[0].inputs}
    assert source(builds[1], "traces_before") == sampled[0].id
