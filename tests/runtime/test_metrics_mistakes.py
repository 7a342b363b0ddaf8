"""Job `evaluate` of a suite with metrics: classifiers, models that broke, and what cannot be measured."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from compiler.backends import part
from runtime.data.rows import read_rows, write_rows
from runtime.errors import JobError
from runtime.jobs import evaluate
from runtime.metrics.graph import metrics
from runtime.models import load_model, load_tokenizer
from tests.backends import catalog
from tests.runtime.forgetting import (
    CONFIG,
    MUSE,
    MakeJob,
    compared,
    done,
    identified,
    make_models,
    maker,
    numbers,
    scores,
    write_domains,
    write_sets,
)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_models(tmp_path_factory.mktemp("learned"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_domains(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, learned: dict[str, Path], rows: dict[str, Path]) -> Path:
    """The job on TOFU's sets; beside its folder those of the reference and of the start."""
    return compared(maker(tmp_path_factory.mktemp("measured")), learned, CONFIG, "small", rows["small"])


# --- fluency -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory, learned: dict[str, Path]) -> Path:
    """A classifier of two classes with random weights, and the tokenizer of the model."""
    from transformers import Qwen3Config, Qwen3ForSequenceClassification

    place = tmp_path_factory.mktemp("classifier")
    tokenizer = load_tokenizer(learned["model"])
    torch.manual_seed(3)
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, head_dim=8, num_labels=2, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    Qwen3ForSequenceClassification(config).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def fluent(classifier: Path, **change: Any) -> dict[str, Any]:
    asked = {"classifier": str(classifier), "revision": None, "class": 1, "max_length": 8, **change}
    return {**CONFIG, "metrics": ["fluency"], "fluency": asked}


def test_fluency_is_the_classs_probability_of_what_was_generated(
    make_job: MakeJob, learned: dict[str, Path], rows: dict[str, Path], classifier: Path
) -> None:
    from transformers import AutoModelForSequenceClassification

    inputs = {"model": learned["model"], "small": rows["small"]}
    found = done(make_job("evaluate", fluent(classifier), inputs))
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(classifier), load_tokenizer(classifier)
    expected = []
    for row in read_rows(found / "outputs.jsonl"):
        ids = tokenizer(row["output"], return_tensors="pt")["input_ids"][:, :8]
        with torch.no_grad():
            expected.append(float(model(ids).logits.softmax(-1)[0, 1]))
    assert numbers(found, "fluency", "forget") == pytest.approx(expected, abs=1e-5)
    assert scores(found)["metrics"]["fluency"]["value"] == pytest.approx(np.mean(expected), abs=1e-5)


def test_a_classifier_that_is_not_there_or_lacks_the_class_is_told(
    make_job: MakeJob, learned: dict[str, Path], rows: dict[str, Path], classifier: Path, tmp_path: Path
) -> None:
    inputs = {"model": learned["model"], "small": rows["small"]}
    with pytest.raises(JobError, match="has no class 7; it has 2"):
        evaluate.run(make_job("a", fluent(classifier, **{"class": 7}), inputs))
    with pytest.raises(JobError, match="fluency: cannot load the classifier"):
        evaluate.run(make_job("b", fluent(tmp_path / "nowhere"), inputs))


# --- a model that broke ------------------------------------------------------------------------------------------------


def test_a_model_that_diverged_has_null_for_what_cannot_be_told(
    make_job: MakeJob, learned: dict[str, Path], rows: dict[str, Path], tmp_path: Path
) -> None:
    model, tokenizer = load_model(learned["model"], torch.device("cpu")), load_tokenizer(learned["model"])
    with torch.no_grad():
        model.model.norm.weight.fill_(math.nan)
    model.save_pretrained(tmp_path / "broken")
    tokenizer.save_pretrained(tmp_path / "broken")
    config = {**CONFIG, "metrics": ["forget_prob", "forget_truth_ratio", "mia_loss"]}
    found = done(make_job("evaluate", config, {"model": tmp_path / "broken", "small": rows["small"]}))
    for name, many in (("forget_prob", 4), ("mia_loss", 8)):
        score = scores(found)["metrics"][name]
        assert score["value"] is None
        assert f"{many} of the {many} numbers" in score["reason"]
    assert numbers(found, "prob", "forget") == [None] * 4


# --- mistakes ----------------------------------------------------------------------------------------------------------

MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"metrics": ["forget_quality"]}, "forget_quality needs the reference's scores, and the job has no input 'reference'"),
    ({"metrics": ["privleak"], "reference": "none"}, "privleak compares with the reference's scores, and the suite has none"),
    ({"metrics": ["selectivity"], "start": "none"}, "selectivity compares with the start's scores, and the suite has none"),
    ({"metrics": ["forget_knowmem_rouge"]}, "eval/forget_knowmem.jsonl, which domain 'small' has not; it has: forget, holdout"),
    ({"metrics": ["mia_recall"], "recall": None}, "mia_recall needs the setting 'recall'"),
    ({"metrics": ["fluency"]}, "fluency needs the setting 'fluency'"),
    ({"metrics": ["mia_recall"], "recall": {"shots": 4, "prefix_tokens": 9}}, "4 shots of 4 holdout rows leave none"),
    ({"metrics": ["forget_rouge"], "generation": {"verbmem": {}}}, r"needs generated answers \(qa\)"),
    ({"metrics": ["forget_prob"], "max_length": 9}, r"of forget has \d+ tokens, max_length is 9; raise it"),
    ({"metrics": ["forget_promise"]}, "this runtime has no 'forget_promise'"),
    ({"metrics": ["forget_prob"], "execution": {"batch_size": 1, "device": "cuda:0"}}, "this machine has no GPU"),
    ({"metrics": ["mia_recall"], "recall": {"shots": 3, "prefix_tokens": 300}, "max_length": 250}, "the model takes 60"),
]


@pytest.mark.parametrize(("change", "said"), MISTAKES)
def test_what_cannot_be_measured_is_one_clear_message(
    make_job: MakeJob, learned: dict[str, Path], rows: dict[str, Path], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    if "cuda" in str(change) and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    model = learned["model"]
    if "takes 60" in said:
        model = shutil.copytree(model, tmp_path / "short")
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 60}))
    with pytest.raises(JobError, match=said):
        evaluate.run(make_job("evaluate", {**CONFIG, **change}, {"model": model, "small": rows["small"]}))


@pytest.mark.parametrize(
    ("row", "metric", "said"),
    [
        ({"prompt": "Who?", "answer": "Ada."}, "forget_truth_ratio", "forget.jsonl:1 .* no paraphrased and no perturbed"),
        ({"prompt": "Who?", "answer": "A", "paraphrased": None, "perturbed": []}, "forget_truth_ratio", "has no perturbed"),
        ({"text": "Ada went."}, "forget_rouge", "has no prompt and no answer"),
        ({"prompt": "Who?"}, "forget_prob", "has no answer, which prob reads"),
    ],
)
def test_rows_that_lack_what_a_metric_reads_are_named(
    make_job: MakeJob, learned: dict[str, Path], tmp_path: Path, row: dict[str, Any], metric: str, said: str
) -> None:
    place = write_sets(tmp_path / "rows", {"forget": identified([row])})
    with pytest.raises(JobError, match=said):
        evaluate.run(make_job("evaluate", {**CONFIG, "metrics": [metric]}, {"model": learned["model"], "own": place}))


def test_a_set_without_rows_is_told(make_job: MakeJob, learned: dict[str, Path], tmp_path: Path) -> None:
    place = write_sets(tmp_path / "rows", {"forget": []})
    with pytest.raises(JobError, match="holds no row"):
        evaluate.run(make_job("e", {**CONFIG, "metrics": ["forget_prob"]}, {"model": learned["model"], "own": place}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"suite": "other"}, "have suite 'other'"),
        ({"version": 2}, "have version 2"),
        ({"prompt_hash": "f" * 16}, "have prompt_hash 'ffff"),
    ],
)
def test_scores_of_another_measurement_are_refused(
    make_job: MakeJob, measured: Path, learned: dict[str, Path], rows: dict[str, Path], tmp_path: Path,
    change: dict[str, Any], said: str,
) -> None:  # fmt: skip
    place = shutil.copytree(measured.parent / "reference", tmp_path / "other")
    (place / "scores.json").write_text(json.dumps({**scores(place), **change}))
    inputs = {"model": learned["model"], "small": rows["small"], "reference": place, "start": measured.parent / "start"}
    with pytest.raises(JobError, match=said):
        evaluate.run(make_job("evaluate", CONFIG, inputs))


def test_scores_of_other_rows_are_refused(
    make_job: MakeJob, measured: Path, learned: dict[str, Path], rows: dict[str, Path], tmp_path: Path
) -> None:
    place = shutil.copytree(measured.parent / "reference", tmp_path / "other")
    write_rows(place / "items.jsonl", read_rows(place / "items.jsonl")[1:])
    inputs = {"model": learned["model"], "small": rows["small"], "reference": place, "start": measured.parent / "start"}
    with pytest.raises(JobError, match=r"have 3 numbers 'truth_ratio' of forget, here are 4 rows"):
        evaluate.run(make_job("evaluate", CONFIG, inputs))


# --- the schema --------------------------------------------------------------------------------------------------------


def given(**change: Any) -> dict[str, Any]:
    """The job's config as the compiler is given it."""
    config = {**CONFIG, **change}
    return {"settings": {key: value for key, value in config.items() if key != "execution"}, "execution": config["execution"]}


def test_the_schema_takes_what_the_job_reads_and_offers_no_other_metric() -> None:
    found = part("native", "evaluate_unlearning", catalog.HERE)
    assert catalog.wrong(found, given()) == []
    assert catalog.wrong(found, given(**{key: value for key, value in MUSE.items() if key != "execution"})) == []
    offered = found.schema["properties"]["settings"]["properties"]["metrics"]["items"]["enum"]
    assert sorted(offered) == sorted(metrics(["forget"]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reference": "none"}, "say `reference: true` of the suite"),
        ({"start": "none"}, "say `before: true` of the suite"),
        ({"recall": None}, "mia_recall needs rows"),
        ({"metrics": ["fluency"]}, "fluency needs a classifier"),
        ({"generation": {"verbmem": {"max_new_tokens": 1, "stop": []}}}, "how they are made (qa)"),
        ({"metrics": ["forget_knowmem_rouge"]}, "how they are made (knowmem)"),
        ({"metrics": ["forget_verbmem_rouge"]}, "how they are made (verbmem)"),
    ],
)
def test_what_the_job_would_refuse_is_refused_when_compiling(change: dict[str, Any], said: str) -> None:
    found = catalog.wrong(part("native", "evaluate_unlearning", catalog.HERE), given(**change))
    assert len(found) == 1
    assert said in str(found[0])


@pytest.mark.parametrize("whose", ["reference", "start"])
def test_the_rules_know_which_metrics_compare_with_whom(whose: str) -> None:
    """The rules name metrics; the graph knows which they are."""
    found = part("native", "evaluate_unlearning", catalog.HERE)
    settings = {
        "fluency": {"classifier": "a", "revision": None, "class": 0, "max_length": 1},
        "generation": {kind: {"max_new_tokens": 1, "stop": []} for kind in ("qa", "knowmem", "verbmem")},
        whose: "none",
    }
    refused = {name for name in metrics(["forget"]) if catalog.wrong(found, given(metrics=[name], **settings))}
    assert refused == {name for name, metric in metrics(["forget"]).items() if metric.compares == whose}
