"""The published unlearning benchmarks and sweeps: each is one spec, with the settings that its trainings effectively had."""

from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from compiler.configs import parse_config
from compiler.diagnostics import Diagnostic, SpecError
from compiler.pipeline import compile_study
from compiler.plan.plan import Job
from tests.specs.plans import SPECS, cell, cells, jobs, of_kind, plan, source, trainings

COUNTS = {
    "tofu": 45, "tofu_finetune": 12, "muse": 40, "wmdp": 10, "altpo": 81, "undial": 81, "ceu": 3, "pdu": 16, "satimp": 18,
    "wga": 9,
}  # fmt: skip
RETAIN = {"tofu_forget01": "retain99", "tofu_forget05": "retain95", "tofu_forget10": "retain90"}
LLAMAS = {"llama_1b": "Llama-3.2-1B", "llama_3b": "Llama-3.2-3B", "llama_8b": "Llama-3.1-8B"}
SWEPT = "full_llama_1b"


def training(name: str, cell_id: str) -> Job:
    """The last training of a cell."""
    return trainings(name, cell_id)[-1]


def chosen(job: Job, *names: str) -> dict[str, Any]:
    """Some of a job's settings."""
    return {name: job.settings[name] for name in names}


def measured(name: str, cell_id: str) -> dict[str, Job]:
    """What a cell's last checkpoint is measured on, and by which job."""
    return {column: jobs(name)[job] for column, job in cell(name, cell_id).after.items()}


def reference(name: str, evaluation: Job) -> Job:
    """The checkpoint whose scores an evaluation compares with."""
    found = jobs(name)[source(evaluation, "reference")]
    assert found.kind == "evaluate"
    return jobs(name)[source(found, "model")]


def written(folder: Path, **changes: Any) -> Path:
    """A study of one cell on TOFU's smallest forget set, with changes."""
    values = {
        "method": "npo",
        "domain": "tofu_forget01",
        "start": "full",
        "scale": "llama_1b",
        "suite": "tofu",
        "rest": "",
    } | changes
    axes = "\n".join(f"  {axis}: [{values[axis]}]" for axis in ("method", "domain", "start", "scale"))
    spec = folder / "one.yaml"
    spec.write_text(
        f"study: one\nabout: One cell\ncluster: mila\ncatalog: [{SPECS}/catalog, {SPECS}/unlearning]\n"
        f"axes:\n{axes}\nevaluate:\n  suites: [{values['suite']}]\n{values['rest']}\n",
        encoding="utf-8",
    )
    return spec


def wrong(folder: Path, **changes: Any) -> list[Diagnostic]:
    """What the compiler says of that study."""
    spec = written(folder, **changes)
    with pytest.raises(SpecError) as error:
        compile_study(spec)
    return list(error.value.diagnostics)


# --- how many ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_every_spec_has_its_cells_and_as_many_trainings(name: str, count: int) -> None:
    assert len(set(cells(name))) == count
    assert len({cell(name, one).train for one in cells(name)}) == count
    extra = {"pdu": 5}.get(name, 0)  # models to compare with that nobody published
    assert len(of_kind(name, "train")) == count + extra


def test_no_two_cells_write_their_checkpoint_or_their_scores_to_one_place() -> None:
    for name in COUNTS:
        paths = [job.path for job in plan(name).jobs]
        assert len(set(paths)) == len(paths)
        scores = [one.id for cell_id in cells(name) for one in measured(name, cell_id).values()]
        assert len(set(scores)) == len(scores)


def test_tofu_goes_by_forget_set_then_size_then_method() -> None:
    methods = ("grad_ascent", "grad_diff", "npo", "idk_dpo", "rmu")
    points = product(RETAIN, LLAMAS, methods)
    assert cells("tofu") == [f"{method}_{domain}_full_{scale}" for domain, scale, method in points]


def test_every_unlearning_algorithm_of_the_catalog_is_in_some_study() -> None:
    used = {job.what for name in COUNTS for job in of_kind(name, "train")}
    assert used == {
        "finetune", "grad_ascent", "grad_diff", "npo", "simnpo", "alternate_dpo", "rmu",
        "undial", "ceu", "wga", "satimp", "pdu",
    }  # fmt: skip


# --- what a training effectively is --------------------------------------------------------------------------------


@pytest.mark.parametrize(("domain", "steps"), [("tofu_forget01", 10), ("tofu_forget05", 60), ("tofu_forget10", 120)])
def test_unlearning_on_tofu_takes_the_published_steps(domain: str, steps: int) -> None:
    for name in ("tofu", "undial", "ceu", "satimp", "wga"):
        there = [one for one in cells(name) if f"_{domain}_" in one]
        assert there and {training(name, one).cost["steps"] for one in there} == {steps}


@pytest.mark.parametrize(
    ("domain", "steps", "warm_up"),
    [("tofu_full", 625, 125), ("tofu_retain99", 615, 123), ("tofu_retain95", 590, 118), ("tofu_retain90", 560, 112)],
)
def test_fine_tuning_on_tofu_takes_the_published_steps(domain: str, steps: int, warm_up: int) -> None:
    for scale in LLAMAS:
        job = training("tofu_finetune", f"finetune_{domain}_instruct_{scale}")
        assert job.cost["steps"] == steps
        assert job.settings["warmup_epochs"] * (job.cost["examples"] // job.settings["batch_size"]) == warm_up


def test_tofu_has_the_effective_arguments_of_two_gpus() -> None:
    for one in cells("tofu"):
        job = training("tofu", one)
        assert chosen(job, "lr", "schedule", "warmup_epochs", "weight_decay", "epochs", "steps", "batch_size") == {
            "lr": 1e-5, "schedule": "linear", "warmup_epochs": 1, "weight_decay": 0.01, "epochs": 10, "steps": None,
            "batch_size": 32,
        }  # fmt: skip
        assert (job.execution["devices"], job.execution["micro_batch_size"]) == (2, 4)


@pytest.mark.parametrize(
    ("method", "own"),
    [
        ("grad_diff", {"gamma": 1.0, "alpha": 1.0, "retain_loss": "nll"}),
        ("npo", {"beta": 0.1, "gamma": 1.0, "alpha": 1.0, "retain_loss": "nll"}),
        ("idk_dpo", {"beta": 0.1, "factor": "two_over_beta", "gamma": 1.0, "alpha": 1.0, "retain_loss": "nll"}),
        ("rmu", {"steering_coeff": 2.0, "module_regex": r"model\.layers\.7", "trainable_regex": [".*"], "gamma": 1.0,
                 "alpha": 1.0, "retain_loss": "embed_diff", "normalisation": "product_of_means"}),
    ],
)  # fmt: skip
def test_methods_on_tofu_have_their_published_settings(method: str, own: dict[str, Any]) -> None:
    job = training("tofu", f"{method}_tofu_forget10_full_llama_8b")
    assert chosen(job, *own) == own


def test_gradient_ascent_and_ce_u_take_no_weight_of_a_retain_set() -> None:
    for name, method in (("tofu", "grad_ascent"), ("ceu", "ceu")):
        job = next(job for job in of_kind(name, "train") if job.what == method)
        assert not {"gamma", "alpha", "retain_loss"} & set(job.settings)


def test_muse_has_a_constant_rate_and_twice_the_batch() -> None:
    for one in cells("muse"):
        job = training("muse", one)
        wanted = {"lr": 1e-5, "schedule": "constant", "warmup_epochs": 0, "weight_decay": 0.0, "epochs": 10, "batch_size": 64,
                  "text": "pieces", "max_length": 2048}  # fmt: skip
        assert chosen(job, *wanted) == wanted
        assert job.cost["steps"] is None  # how many pieces a text makes is the tokenizer's to say
    simnpo = training("muse", "simnpo_muse_books_books_target_muse_7b")
    assert chosen(simnpo, "beta", "delta", "gamma", "alpha") == {"beta": 4.5, "delta": 0.0, "gamma": 0.125, "alpha": 1.0}


def test_misdirection_on_wmdp_trains_three_layers_for_80_steps() -> None:
    for domain in ("wmdp_bio", "wmdp_cyber"):
        job = training("wmdp", f"rmu_{domain}_chat_zephyr_7b")
        wanted = {"lr": 5e-5, "schedule": "constant", "steps": 80, "epochs": None, "batch_size": 16, "steering_coeff": 2.0,
                  "trainable_regex": [r"model\.layers\.(5|6|7)\.mlp\.down_proj\.weight"]}  # fmt: skip
        assert chosen(job, *wanted) == wanted
        assert job.cost["steps"] == 80
        assert set(measured("wmdp", f"rmu_{domain}_chat_zephyr_7b")["wmdp"].settings["tasks"]) == {
            "wmdp_bio",
            "wmdp_cyber",
            "mmlu",
        }


def test_a_training_is_told_its_algorithm_and_started_on_both_gpus() -> None:
    files = compile_study(SPECS / "tofu.yaml").files
    config = parse_config(files["configs/train/idk_dpo_tofu_forget10_full_llama_3b.yaml"])
    assert (config["backend"], config["algorithm"], config["beta"]) == ("native", "alternate_dpo", 0.1)
    assert config["execution"]["micro_batch_size"] == 4
    script = files["jobs/train/idk_dpo_tofu_forget10_full_llama_3b.sh"]
    assert "--standalone --nproc-per-node=2" in script
    scores = parse_config(files["configs/evaluate/idk_dpo_tofu_forget10_full_llama_3b.tofu.tofu_forget10.yaml"])
    assert (scores["suite"], scores["execution"]["batch_size"]) == ("tofu.tofu_forget10", 32)


# --- sweeps --------------------------------------------------------------------------------------------------------

SWEEPS: dict[str, dict[str, list[float]]] = {
    "altpo": {"lr": [1e-5, 2e-5, 5e-5], "beta": [0.05, 0.1, 0.5], "alpha": [1, 2, 5]},
    "undial": {"lr": [1e-5, 1e-4, 3e-4], "beta": [3, 10, 30], "alpha": [1, 2, 5]},
    "ceu": {"lr": [1e-5]},
    "satimp": {"lr": [1e-5], "beta1": [5.0, 6.0], "beta2": [1.0], "alpha": [1.0, 0.1, 0.01]},
    "wga": {"lr": [1e-5], "beta": [1.0], "alpha": [1.0, 0.1, 10.0]},
}


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_trains_each_forget_set_with_each_setting(name: str) -> None:
    axes = SWEEPS[name]
    seen = [(job.cell["domain"], *(job.settings[axis] for axis in axes)) for job in of_kind(name, "train") if job.cell]
    assert seen == list(product(("tofu_forget10", "tofu_forget05", "tofu_forget01"), *axes.values()))


def test_sweeps_name_their_settings_in_the_cell() -> None:
    assert f"altpo_tofu_forget05_{SWEPT}_lr2e-05_beta0.1_alpha5" in cells("altpo")
    assert f"undial_tofu_forget01_{SWEPT}_lr0.0003_beta30_alpha1" in cells("undial")


@pytest.mark.parametrize(("name", "own"), [
    ("undial", {"positions": "all", "gamma": 1.0, "epochs": 10}),
    ("ceu", {"ignored_tokens": 1, "epochs": 10}),
    ("satimp", {"gamma": 0.1, "epochs": 10}),
    ("wga", {"gamma": 1.0, "epochs": 10}),
    ("altpo", {"gamma": 1.0, "epochs": 2, "factor": "two_over_beta"}),
])  # fmt: skip
def test_what_a_sweep_does_not_vary_is_the_benchmarks(name: str, own: dict[str, Any]) -> None:
    for job in of_kind(name, "train"):
        assert chosen(job, *own) == own
        assert job.settings["batch_size"] == 32


def test_altpo_trains_on_answers_that_its_own_start_makes_up() -> None:
    generated = of_kind("altpo", "generate")
    assert len(generated) == 3
    for job in generated:
        assert jobs("altpo")[source(job, "model")].settings["hub"] == "open-unlearning/tofu_Llama-3.2-1B-Instruct_full"
        assert chosen(job, "samples", "temperature", "max_new_tokens") == {
            "samples": 5,
            "temperature": 1.0,
            "max_new_tokens": 200,
        }
    for one in cells("altpo"):
        data = jobs("altpo")[source(training("altpo", one), "data")]
        assert data.output == "dataset.unlearning"
        assert source(data, "traces") in {job.id for job in generated}


@pytest.mark.parametrize(("domain", "steps"), [("tofu_forget01", 12), ("tofu_forget05", 62), ("tofu_forget10", 124)])
def test_altpo_sees_five_answers_of_each_question(domain: str, steps: int) -> None:
    job = training("altpo", f"altpo_{domain}_{SWEPT}_lr1e-05_beta0.1_alpha1")
    rows = jobs("altpo")[f"prepare/{domain}"].settings["train"]
    assert (job.cost["examples"], job.cost["steps"]) == (5 * rows, steps)


# --- PDU -----------------------------------------------------------------------------------------------------------

TOFU_LENGTHS = {"llama_1b": 10, "llama_3b": 10, "llama_8b": 30, "gemma_7b": 20}
MUSE_BOUNDS = {("news", "muse_7b"): 1.5, ("books", "muse_7b"): 0.1, ("news", "muse_13b"): 0.8, ("books", "muse_13b"): 0.6}
PDU = [
    *((f"pdu_{d}_full_{s}", epochs, 0.3, 100, 5, 5, 128) for s, epochs in TOFU_LENGTHS.items() for d in RETAIN),
    *((f"pdu_muse_{d}_{d}_target_{s}", 10, eps, 50, 1, 3, 256) for (d, s), eps in MUSE_BOUNDS.items()),
]


@pytest.mark.parametrize(("cell_id", "epochs", "eps", "alpha", "step", "warm_up", "batch"), PDU)
def test_pdu_has_the_bound_and_length_of_each_model(
    cell_id: str, epochs: int, eps: float, alpha: int, step: int, warm_up: int, batch: int
) -> None:
    wanted = {"epochs": epochs, "retain_loss_eps": eps, "alpha": alpha, "gamma": 1.0, "dual_step_size": step,
              "dual_warmup_epochs": warm_up, "dual_update": "micro_batch", "batch_size": batch, "lr": 1e-5}  # fmt: skip
    assert chosen(training("pdu", cell_id), *wanted) == wanted


def test_pdu_is_exactly_these_sixteen() -> None:
    assert sorted(cells("pdu")) == sorted(row[0] for row in PDU)


def test_each_cell_is_measured_by_its_own_benchmark() -> None:
    for one in plan("pdu").cells:
        domain = one.axes["domain"]
        assert list(one.after) == list(one.before) == [f"{domain.split('_')[0]}.{domain}"]


def test_an_epoch_that_fills_no_batch_is_one_step() -> None:
    assert training("pdu", "pdu_tofu_forget01_full_llama_8b").cost["steps"] == 30  # 40 rows in batches of 128


def test_models_to_compare_with_are_trained_where_nobody_published_them() -> None:
    gemma = measured("pdu", "pdu_tofu_forget05_full_gemma_7b")["tofu.tofu_forget05"]
    made = reference("pdu", gemma)
    assert (made.kind, made.what, made.cost["steps"]) == ("train", "finetune", 590)
    assert jobs("pdu")[source(made, "start")].settings["hub"] == "google/gemma-7b-it"
    llama = measured("pdu", "pdu_muse_books_books_target_muse_13b")["muse.muse_books"]
    made = reference("pdu", llama)
    assert jobs("pdu")[source(made, "start")].settings["hub"] == "meta-llama/Llama-2-13b-hf"
    rows = jobs("pdu")[source(jobs("pdu")[source(made, "data")], "rows")]
    assert chosen(rows, "hub", "split") == {"hub": "tamarsonha/MUSE-Books-Train", "split": "retain"}


# --- what scores are compared with ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tofu", "altpo", "undial", "ceu", "satimp", "wga"])
def test_an_unlearned_model_is_compared_with_the_one_that_never_saw_its_forget_set(name: str) -> None:
    for one in plan(name).cells:
        domain, model = one.axes["domain"], LLAMAS[one.axes["scale"]]
        evaluation = measured(name, one.id)[f"tofu.{domain}"]
        assert reference(name, evaluation).settings["hub"] == f"open-unlearning/tofu_{model}-Instruct_{RETAIN[domain]}"
        assert {edge.name for edge in evaluation.inputs} == {"model", "reference", domain}
        before = jobs(name)[one.before[f"tofu.{domain}"]]
        assert source(before, "reference") == source(evaluation, "reference")


def test_tofu_measures_each_start_and_each_retain_model_once() -> None:
    assert len(of_kind("tofu", "evaluate")) == 45 + 9 + 9


def test_fine_tuning_has_18_evaluations() -> None:
    assert len(of_kind("tofu_finetune", "evaluate")) == 9 + 9


def test_the_full_model_is_compared_with_the_retain_models_of_the_same_plan() -> None:
    for scale in LLAMAS:
        found = measured("tofu_finetune", f"finetune_tofu_full_instruct_{scale}")
        assert list(found) == [f"tofu.{domain}" for domain in RETAIN]
        for domain, retain in RETAIN.items():
            made = reference("tofu_finetune", found[f"tofu.{domain}"])
            assert made.id == cell("tofu_finetune", f"finetune_tofu_{retain}_instruct_{scale}").train


def test_a_retain_model_is_compared_with_nothing() -> None:
    for domain, retain in RETAIN.items():
        found = measured("tofu_finetune", f"finetune_tofu_{retain}_instruct_llama_1b")
        assert list(found) == [f"tofu.{domain}"]
        assert "reference" not in {edge.name for edge in found[f"tofu.{domain}"].inputs}


def test_suites_measure_what_the_benchmarks_do() -> None:
    tofu = measured("tofu", "npo_tofu_forget10_full_llama_1b")["tofu.tofu_forget10"]
    assert tofu.settings["metrics"] == [
        "forget_truth_ratio", "forget_quality", "forget_prob", "forget_rouge", "model_utility", "privleak",
        "extraction_strength",
    ]  # fmt: skip
    muse = measured("muse", "npo_muse_books_books_target_muse_7b")["muse.muse_books"]
    assert muse.settings["metrics"] == [
        "forget_knowmem_rouge", "retain_knowmem_rouge", "forget_verbmem_rouge", "privleak", "extraction_strength",
    ]  # fmt: skip
    assert (tofu.settings["rouge"], muse.settings["rouge"]) == ("rougeL_recall", "rougeL_f1")
    assert tofu.settings["min_k"] == muse.settings["min_k"] == 0.4


# --- MUSE: growing sets, and requests one after the other ----------------------------------------------------------

MUSE_METHODS = ("grad_ascent", "grad_diff", "npo", "simnpo")


def forget_set(cell_id: str) -> dict[str, Any]:
    """Where the rows come from that the last training of a MUSE cell forgets."""
    data = jobs("muse")[source(training("muse", cell_id), "data")]
    return chosen(jobs("muse")[source(data, "rows")], "hub", "config", "split")


def test_muse_has_8_plain_16_growing_and_16_sequential_cells() -> None:
    kinds = {kind: sum(f"_{kind}_" in one for one in cells("muse")) for kind in ("scal", "sust")}
    assert kinds == {"scal": 16, "sust": 16}
    assert sum("_muse_books_" in one for one in cells("muse")) == 4


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("method", MUSE_METHODS)
def test_a_growing_set_is_unlearned_from_the_target(method: str, number: int) -> None:
    one = f"{method}_muse_news_scal_{number}_news_target_muse_7b"
    assert forget_set(one) == {"hub": "muse-bench/MUSE-News", "config": "scal", "split": f"forget_{number}"}
    assert [job.id for job in trainings("muse", one)] == [f"train/{one}"]


@pytest.mark.parametrize("method", MUSE_METHODS)
def test_each_request_is_unlearned_from_what_the_one_before_left(method: str) -> None:
    chain = [f"{method}_muse_news_sust_{number}_news_target_muse_7b" for number in (1, 2, 3, 4)]
    assert jobs("muse")[source(training("muse", chain[0]), "start")].settings["hub"] == "muse-bench/MUSE-News_target"
    for before, after in pairwise(chain):
        assert source(training("muse", after), "start") == f"train/{before}"
    splits = [forget_set(one)["split"] for one in chain]
    assert splits == ["forget_1", "forget_2", "forget_3", "forget_4"]  # the published loop forgets forget_4 four times


def test_books_are_unlearned_from_the_model_that_saw_them() -> None:
    for method in MUSE_METHODS:
        one = f"{method}_muse_books_books_target_muse_7b"
        assert forget_set(one) == {"hub": "muse-bench/MUSE-Books", "config": "raw", "split": "forget"}
        assert jobs("muse")[source(training("muse", one), "start")].settings["hub"] == "muse-bench/MUSE-Books_target"
        evaluation = measured("muse", one)["muse.muse_books"]
        assert reference("muse", evaluation).settings["hub"] == "muse-bench/MUSE-Books_retrain"


def test_all_news_cells_are_measured_on_the_plain_forget_set() -> None:
    for one in cells("muse"):
        if "_muse_news_" in one:
            evaluation = measured("muse", one)["muse.muse_news"]
            assert reference("muse", evaluation).settings["hub"] == "muse-bench/MUSE-News_retrain"


# --- mistakes ------------------------------------------------------------------------------------------------------


def setting(algorithm: str, values: str) -> dict[str, str]:
    """A study of that method with a rule that sets values of its algorithm."""
    rule = f"{{set: it, where: {{method: {algorithm}}}, to: {{{algorithm}: {values}}}, why: to see}}"
    return {"method": algorithm, "rest": f"rules: [{rule}]"}


def defining(section: str, name: str, values: str) -> dict[str, str]:
    """A study with other settings in a definition of the catalog."""
    return {"rest": f"define: {{{section}: {{{name}: {{extends: {name}, settings: {values}}}}}}}"}


BOOKS = {"domain": "muse_books", "suite": "muse", "start": "books_target", "scale": "muse_7b"}
MISTAKES = [
    ({"method": "pdu", "domain": "wmdp_bio", "start": "chat", "scale": "zephyr_7b", "suite": "wmdp"}, "lack 'retain_loss_eps'"),
    (setting("npo", "{retain_loss: none}"), "cannot be 'none'"),
    (setting("npo", "{beta: 0}"), "expected more than 0"),
    (setting("npo", "{steps: 5}"), "'epochs' of the algorithm npo is 10"),
    (setting("npo", "{batch_size: 12}"), "'batch_size' of the algorithm npo is 12"),
    (setting("wga", "{beta1: 1.0}"), "unknown key 'beta1'"),  # as the published script passes it
    (defining("domains", "tofu_forget01", "{split: forget02}"), "cannot be 'forget02'"),
    (defining("suites", "tofu", "{metrics: [forget_qualiti]}"), "cannot be 'forget_qualiti'"),
    (
        {"method": "idk_dpo"} | defining("datasets", "refusals", "{refusals: null}"),
        "'refusals' of the settings of dataset refusals is empty",
    ),
    (BOOKS | defining("domains", "muse_books", "{split: forget_2}"), "cannot be 'forget_2'"),
]


@pytest.mark.parametrize(("changes", "said"), MISTAKES)
def test_a_wrong_setting_is_one_diagnostic(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    found = wrong(tmp_path, **changes)
    assert len(found) == 1, [str(one) for one in found]
    assert said in found[0].message


def suite(more: str, metrics: str) -> dict[str, str]:
    """A study whose suite asks for other metrics."""
    return {"rest": f"define: {{suites: {{tofu: {{extends: tofu, {more}, settings: {{metrics: [{metrics}]}}}}}}}}"}


@pytest.mark.parametrize("metric", ["forget_quality", "forget_prob_ks", "privleak", "rel_diff", "mia_reference"])
def test_a_metric_that_compares_is_refused_where_the_suite_does_not(tmp_path: Path, metric: str) -> None:
    found = wrong(tmp_path, **suite("reference: false", metric))
    assert len(found) == 1, [str(one) for one in found]
    assert "reference: true" in str(found[0].hint)


def test_a_metric_since_the_start_is_refused_where_the_suite_does_not_compare_with_it(tmp_path: Path) -> None:
    found = wrong(tmp_path, **suite("before: false", "selectivity"))
    assert len(found) == 1, [str(one) for one in found]
    assert "before: true" in str(found[0].hint)


def test_a_suite_that_compares_with_the_start_reads_its_scores(tmp_path: Path) -> None:
    found = {
        job.id: job for job in compile_study(written(tmp_path, **suite("before: true", "selectivity, privleak"))).plan.jobs
    }
    names = [f"evaluate/{name}.tofu.tofu_forget01" for name in ("npo_tofu_forget01_full_llama_1b", "full_llama_1b")]
    own, start = (found[name] for name in names)
    retrained = found["evaluate/retain99_llama_1b.tofu.tofu_forget01"]
    assert (source(own, "start"), source(own, "reference")) == (start.id, retrained.id)
    assert chosen(own, "reference", "start") == {"reference": "scores", "start": "scores"}
    assert chosen(start, "reference", "start") == {"reference": "scores", "start": "self"}
    assert chosen(retrained, "reference", "start") == {"reference": "self", "start": "self"}


def test_a_suite_that_compares_needs_a_domain_with_a_reference(tmp_path: Path) -> None:
    found = wrong(tmp_path, rest="define: {domains: {tofu_forget01: {extends: tofu_forget01, reference: null}}}")
    assert "reference" in found[0].message
