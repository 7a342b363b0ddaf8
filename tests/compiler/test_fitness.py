"""Does a plan fit its cluster? Told before a GPU is used, on the catalog and with the cases of the study that it re-states."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from compiler.diagnostics import Diagnostic, SpecError
from compiler.pipeline import compile_study
from compiler.plan.plan import Job, Plan
from tests.specs.plans import SPECS, jobs, plan

GB, GIB = 1e9, 2**30
AXES = {"method": ["gt_sft"], "domain": ["gsm8k"], "start": ["safe"], "scale": ["1.7b"]}
LONG = {"partition": "long", "time": "1-00:00:00", "cpus": 16, "mem": "128G", "gpus": 2, "gpu": "a100l"}


def compiled(folder: Path, define: Mapping[str, Any] | None = None, suites: tuple[str, ...] = ("task",), **axes: str) -> Plan:
    """The plan of one cell at Mila, with changes of the catalog."""
    chosen = AXES | {name: [value] for name, value in axes.items()}
    study = {
        "study": "one", "about": "One cell", "cluster": "mila", "catalog": [f"{SPECS}/catalog"], "axes": chosen,
        "evaluate": {"suites": list(suites)}, "define": define or {},
    }  # fmt: skip
    (folder / "one.yaml").write_text(json.dumps(study, indent=1), encoding="utf-8")
    return compile_study(folder / "one.yaml").plan


def wrong(folder: Path, define: Mapping[str, Any], **axes: str) -> list[Diagnostic]:
    """What is wrong with such a plan."""
    with pytest.raises(SpecError) as stopped:
        compiled(folder, define, ("task",), **axes)
    return list(stopped.value.diagnostics)


def mila(**changes: Any) -> dict[str, Any]:
    return {"clusters": {"mila": {"extends": "mila", **changes}}}


def written(said: Diagnostic) -> str:
    """The source line that a mistake stands in, from its column on."""
    line = Path(said.position.file).read_text(encoding="utf-8").splitlines()[said.position.line - 1]
    return line[said.position.column - 1 :]


def training(found: Plan) -> Job:
    return [job for job in found.jobs if job.kind == "train"][-1]


# --- what one user may ask for ---------------------------------------------------------------------------------------


def test_the_studys_teacher_of_64_gb_is_too_much_for_a_partition_of_48_gb(tmp_path: Path) -> None:
    (said,) = wrong(tmp_path, mila(resources={"teacher": {"mem": "64G"}}), method="sf_sft")
    assert said.message == "partition 'main' of mila gives one user 48G of memory; resources 'teacher' ask for 64G"
    assert written(said).startswith('"64G"')


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"time": "6-00:00:00"}, "partition 'main' of mila ends jobs after 5-00:00:00; resources 'train' ask for 6-00:00:00"),
        ({"cpus": 16}, "partition 'main' of mila gives one user 8 CPUs; resources 'train' ask for 16"),
        ({"gpus": 4}, "partition 'main' of mila gives one user 2 GPUs; resources 'train' ask for 4"),
        ({"partition": "mian"}, "cluster 'mila' has no partition 'mian'"),
        ({"gpu": "a10l"}, "cluster 'mila' has no GPU 'a10l'"),
    ],
)
def test_what_a_partition_does_not_give_is_a_mistake_of_the_class_that_asks(
    asked: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (said,) = wrong(tmp_path, mila(resources={"train": asked}))
    assert (said.message, written(said).rstrip(",")) == (message, json.dumps(next(iter(asked.values()))))
    assert said.suggestion == {"partition": "main", "gpu": "a100l"}.get(next(iter(asked)))


def test_a_class_that_no_job_uses_may_ask_for_anything(tmp_path: Path) -> None:
    found = compiled(tmp_path, mila(resources={"teacher": {"mem": "64G"}}))
    assert "teacher" not in {job.resources["class"] for job in found.jobs}


def test_a_clusters_own_limits_hold_on_every_partition(tmp_path: Path) -> None:
    (said,) = wrong(tmp_path, mila(limits={"cpus": 6}, partitions={"main": {"cpus": None}}))
    assert said.message.endswith("gives one user 6 CPUs; resources 'train' ask for 8")


def test_checkpoints_beyond_the_quota_are_a_mistake_of_the_study(tmp_path: Path) -> None:
    (said,) = wrong(tmp_path, mila(quota="20G"))
    # VeRL keeps its last two checkpoints of 12 bytes a weight; the start and the merged model have 2.
    stored = 1.7 * (2 * 12 + 2 * 2) * GB / GIB
    assert said.message == f"the plan's checkpoints take about {stored:.1f}G; one user may store 20G on mila"
    assert written(said).startswith('"mila"')


# --- what fits into memory -------------------------------------------------------------------------------------------


def teacher(gpus: int, **execution: Any) -> dict[str, Any]:
    """The 70B teacher of another family, on so many GPUs."""
    traces = {"execution": {"tensor_parallel": gpus, **execution}, "resources": "teacher" if gpus <= 2 else "teacher_large"}
    return {"datasets": {"cross_family": {"extends": "cross_family", "traces": traces}}}


def test_a_teacher_of_70_billion_weights_does_not_fit_two_gpus_of_80_gb(tmp_path: Path) -> None:
    (said,) = wrong(tmp_path, teacher(2), method="cf_sft")
    assert "its weights take 141.1 GB of the 144.0 GB that vLLM may use; to write 8,192 tokens it needs" in said.message
    assert float(re.findall(r"needs ([0-9.]+) GB more", said.message)[0]) > 144.0 - 141.1
    assert written(said).startswith("2")


def test_it_fits_four_and_two_when_answers_are_short(tmp_path: Path) -> None:
    assert compiled(tmp_path, teacher(4), method="cf_sft")
    assert compiled(tmp_path, teacher(2, max_model_len=3072, gpu_memory_utilization=0.95), method="cf_sft")


def test_a_model_in_more_parts_than_there_are_gpus_never_begins(tmp_path: Path) -> None:
    define = teacher(4)
    define["datasets"]["cross_family"]["traces"]["resources"] = "teacher"
    (said,) = wrong(tmp_path, define, method="cf_sft")
    assert said.message == "'tensor_parallel' wants 4 GPUs; resources 'teacher' give 2"


def test_a_training_that_no_layout_fits_is_an_error_and_with_an_adapter_none(tmp_path: Path) -> None:
    large = mila(resources={"rl": LONG})
    (said,) = wrong(tmp_path, large, method="on_rl", scale="14b")
    assert "grpo of 14b needs 120.8 GB on each GPU" in said.message  # 12 bytes of each weight over two GPUs, and vLLM's 32 GB
    assert "2 x 80 GB" in said.message
    assert compiled(tmp_path, large, method="on_rl", scale="14b", adapter="lora")
    assert compiled(tmp_path, mila(resources={"rl": {**LONG, "gpus": 4}}), method="on_rl", scale="14b")


def test_a_training_that_its_backend_does_not_divide_is_warned_of(tmp_path: Path) -> None:
    whole = {"algorithms": {"dpo": {"extends": "dpo", "execution": {"sharding": "none"}}}}
    found = compiled(tmp_path, whole, method="off_rl", scale="4b")
    (said,) = [line for line in found.warnings if "of each GPU's 80 GB" in line]
    assert "optimizer 32.0" in said
    assert "reference model 16.0" in said
    for divided in (compiled(tmp_path, method="off_rl"), compiled(tmp_path, method="off_rl", scale="4b")):
        assert not [line for line in divided.warnings if "of each GPU" in line]


def test_unknown_gpus_and_unknown_models_are_not_judged(tmp_path: Path) -> None:
    assert compiled(tmp_path, {**teacher(2), **mila(gpus={"a100l": {"gigabytes": 1000}})}, method="cf_sft")
    unknown = {"teachers": {"llama31_70b": {"about": "x", "hub": "A/B", "revision": "main"}}}
    assert compiled(tmp_path, teacher(2) | unknown, method="cf_sft")


def test_reinforcement_learning_takes_what_the_study_measured() -> None:
    job = jobs("real_study")["train/on_rl_gsm8k_thinking_1.7b"]
    assert job.cost["gpu_memory"] / GIB == pytest.approx(50.5, rel=0.1)
    # It ran in 48 GiB; the 68.6 that VeRL logged then are those of the whole node, with whatever else ran there.
    assert 1.7 * 4 * GB < job.cost["node_memory"] < 48 * GIB


def test_the_kl_terms_reference_model_is_counted(tmp_path: Path) -> None:
    def taken(coefficient: float) -> float:
        define = {"algorithms": {"grpo": {"extends": "grpo", "settings": {"kl_coef": coefficient}}}}
        return float(training(compiled(tmp_path, define, method="on_rl")).cost["gpu_memory"])

    assert taken(0.1) - taken(0.0) == pytest.approx(1.7 * 4 / 2 * GB)


def test_of_unlearning_only_what_compares_with_the_start_itself_holds_a_second_model() -> None:
    """NPO asks it for sums alone, which are there before the first step; its GPUs divide what there is."""
    taken = {
        name: jobs("tofu")[f"train/{name}_tofu_forget10_full_llama_1b"].cost["gpu_memory"]
        for name in ("grad_diff", "npo", "rmu")
    }
    assert taken["npo"] == taken["grad_diff"]
    assert taken["rmu"] - taken["npo"] == pytest.approx(1.24e9 * 4 / 2, rel=0.01)


@pytest.mark.parametrize(("cell", "checkpoints", "each"), [("gt_sft", 15, 10), ("on_rl", 36, 21)])
def test_checkpoints_are_as_large_as_the_study_found_them(cell: str, checkpoints: int, each: float) -> None:
    stored = jobs("real_study")[f"train/{cell}_gsm8k_thinking_1.7b"].cost["storage"]
    assert stored / checkpoints / GB == pytest.approx(each, rel=0.05)


# --- how long it takes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pace", "hours"),
    [(25, 25), ({"1.7b": 25, "4b": 60}, 25), ({"1.7b": {"a100l": 25, "h100": 12}}, 25), ({"4b": 60}, None), (None, None)],
)
def test_a_pace_is_a_number_or_one_for_each_scale_and_gpu(pace: Any, hours: float | None, tmp_path: Path) -> None:
    define = {"algorithms": {"grpo": {"extends": "grpo", "pace": pace}}}
    cost = training(compiled(tmp_path, define, method="on_rl")).cost
    assert cost["hours"] == (hours and pytest.approx(1401 * hours / 3600))
    assert cost["gpu_hours_expected"] == (hours and pytest.approx(2 * 1401 * hours / 3600))
    assert cost["gpu_hours"] == 2 * 48


def test_gpu_hours_are_of_every_start() -> None:
    """49 hours of two GPUs in jobs of eight: seven starts, the last of which ends early."""
    cost = jobs("real_study")["train/on_rl_gsm8k_thinking_1.7b"].cost
    assert (round(cost["hours"]), round(cost["gpu_hours_expected"]), cost["gpu_hours"]) == (49, 97, 7 * 8 * 2)


def test_a_suites_measured_hours_are_expected_of_its_evaluations(tmp_path: Path) -> None:
    found = compiled(tmp_path, suites=("forgetting",))
    (before, after) = [job for job in found.jobs if job.kind == "evaluate"]
    assert before.cost["gpu_hours_expected"] == after.cost["gpu_hours_expected"] == 1.5
    slow = compiled(tmp_path, {"suites": {"forgetting": {"extends": "forgetting", "hours": 4}}}, suites=("forgetting",))
    assert f"{after.id}: its suite takes 4.0 h, and its time limit is 3 h" in slow.warnings


def test_what_is_only_estimated_from_decides_no_result(tmp_path: Path) -> None:
    told = {
        "algorithms": {"sft": {"extends": "sft", "pace": 3}}, **mila(quota="4T", gpus={"a100l": {"gigabytes": 96}}),
        "suites": {"task": {"extends": "task", "hours": 1}},
        "domains": {"gsm8k": {"extends": "gsm8k", "longest": {"truth": 9}}},
    }  # fmt: skip
    before, after = compiled(tmp_path), compiled(tmp_path, told)
    assert [job.fingerprint for job in before.jobs] == [job.fingerprint for job in after.jobs]


# --- what is likely a mistake ----------------------------------------------------------------------------------------


def test_grpo_of_7005_steps_is_told_not_to_fit_8_hours() -> None:
    assert [line for line in plan("real_study").warnings if line.startswith("train/on_rl_gsm8k_thinking_1.7b: 7,005 steps")]


def test_a_batch_size_that_is_left_out_is_no_default_of_some_backend(tmp_path: Path) -> None:
    grpo = next(job for job in plan("real_study").jobs if job.what == "grpo")
    own = {name: value for name, value in grpo.settings.items() if name not in ("batch_size", "prompt", "grader")}
    execution = {name: value for name, value in grpo.execution.items() if name not in ("devices", "report_to", "keep")}
    define = {"about": "x", "backend": "verl", "settings": own, "execution": execution, "resources": "rl"}
    (said,) = wrong(tmp_path, {"algorithms": {"grpo": define}}, method="on_rl")
    assert said.message == "the settings of algorithm grpo lack 'batch_size'"


@pytest.mark.parametrize(
    ("define", "expected"),
    [
        ({"domains": {"gsm8k": {"extends": "gsm8k", "longest": {"truth": 2305}}}},
         "rows of truth on gsm8k have up to 2,305 tokens, and it takes 2,304: it stops there"),
        ({"domains": {"gsm8k": {"extends": "gsm8k", "settings": {"eval": 2_000_000}}}},
         "takes 2,000,000 answers of one checkpoint"),
        ({"datasets": {"same_family": {"extends": "same_family", "traces": {"settings": {"samples": 512}}}}},
         "takes 3,826,176 answers of one checkpoint"),
    ],
)  # fmt: skip
def test_rows_that_are_too_long_and_answers_that_are_too_many_are_warned_of(
    define: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    method = "sf_sft" if "datasets" in define else "gt_sft"
    assert len([line for line in compiled(tmp_path, define, method=method).warnings if expected in line]) == 1
    assert not [line for line in compiled(tmp_path, method=method).warnings if expected in line]


def test_a_group_of_one_is_a_mistake(tmp_path: Path) -> None:
    define = {"algorithms": {"grpo": {"extends": "grpo", "settings": {"group_size": 1}}}}
    (said,) = wrong(tmp_path, define, method="on_rl")
    assert said.message == "'group_size' of the settings of algorithm grpo is 1; expected at least 2"


def test_a_suite_of_13_million_answers_is_warned_of(tmp_path: Path) -> None:
    suite = {"extends": "forgetting", "sizes": {"mmlu": {"items": 26529, "samples": 512}}}
    found = compiled(tmp_path, {"suites": {"forgetting": suite}}, suites=("forgetting",))
    told = "suite forgetting: task mmlu takes 13,582,848 answers of each checkpoint (26,529 items x 512 samples)"
    assert told in found.warnings


def test_the_size_of_a_task_that_a_suite_does_not_have_is_a_mistake(tmp_path: Path) -> None:
    (said,) = wrong(tmp_path, {"suites": {"task": {"extends": "forgetting", "sizes": {"mmlux": {"items": 1}}}}})
    assert (said.message, said.suggestion) == ("suite 'task' has no task 'mmlux'", "mmlu")


def test_a_thinking_model_needs_room_for_its_thoughts() -> None:
    (said,) = [line for line in plan("real_study").warnings if "max_answer_tokens" in line]
    assert said.startswith("train/on_rl_triviaqa_thinking_1.7b (and 8 more like it): its model thinks first")
    assert "max_answer_tokens is 256" in said
    assert not [line for line in plan("pairs").warnings if "thinks first" in line]


def test_baselines_of_one_start_on_two_kinds_of_gpu_are_warned_of(tmp_path: Path) -> None:
    define = mila(resources={"gpu": {"gpu": "l40s"}})
    (said,) = [line for line in compiled(tmp_path, define, ("forgetting", "task")).warnings if "kinds of GPU" in line]
    assert "evaluate/safe_1.7b.forgetting on a100l and evaluate/safe_1.7b.task.gsm8k on l40s" in said
    assert not [line for line in compiled(tmp_path, None, ("forgetting", "task")).warnings if "kinds of GPU" in line]


@pytest.mark.parametrize("name", ["phase1", "phase2", "cross_family", "olmo", "spreadsheet", "tofu"])
def test_shipped_specs_fit_their_cluster_and_the_memory_of_every_training_is_known(name: str) -> None:
    assert [job.id for job in plan(name).jobs if job.kind == "train" and not job.cost["gpu_memory"]] == []
