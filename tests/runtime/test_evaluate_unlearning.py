"""Job `evaluate` of a suite with metrics: what one pass finds is what one computation for each metric finds."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from rouge_score.rouge_scorer import RougeScorer
from sklearn.metrics import roc_auc_score

from runtime.data.rows import read_rows
from runtime.models import load_model, load_tokenizer
from tests.runtime.forgetting import (
    CONFIG,
    MUSE,
    TOFU_METRICS,
    MakeJob,
    compared,
    done,
    make_models,
    maker,
    muse,
    numbers,
    scores,
    tofu,
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


# --- the obvious computation -------------------------------------------------------------------------------------------


class Obvious:
    """Each number by itself: a row at a time, without padding, from the whole log-softmax in float64."""

    def __init__(self, folder: Path) -> None:
        self.model: Any = load_model(folder, torch.device("cpu")).double()
        self.tokenizer: Any = load_tokenizer(folder)

    def answer(self, row: Mapping[str, Any], text: str) -> tuple[list[int], int]:
        prompt = f"Q: {row['prompt']}\nA:"
        ids = self.tokenizer(f"{prompt} {text}")["input_ids"] + [self.tokenizer.eos_token_id]
        return ids, len(self.tokenizer(prompt)["input_ids"])

    def text(self, row: Mapping[str, Any], longest: int) -> tuple[list[int], int]:
        return self.tokenizer(row["text"])["input_ids"][:longest], 1

    def recited(self, row: Mapping[str, Any], longest: int) -> tuple[list[int], int]:
        ids = self.tokenizer(f"{row['prompt']} {row['answer']}")["input_ids"][:longest]
        return ids, len(self.tokenizer(row["prompt"])["input_ids"])

    def log_softmax(self, ids: list[int], start: int) -> torch.Tensor:
        with torch.no_grad():
            found: torch.Tensor = self.model(torch.tensor([ids])).logits[0].log_softmax(-1)[start - 1 : -1]
        return found

    def labels(self, ids: list[int], start: int) -> np.ndarray:
        return self.log_softmax(ids, start).gather(1, torch.tensor(ids[start:])[:, None])[:, 0].numpy()

    def nll(self, ids: list[int], start: int) -> float:
        return float(-self.labels(ids, start).mean())

    def prob(self, row: Mapping[str, Any], text: str) -> float:
        return math.exp(-self.nll(*self.answer(row, text)))

    def truth_ratio(self, row: Mapping[str, Any]) -> float:
        wrong = [self.nll(*self.answer(row, text)) for text in row["perturbed"]]
        right = math.exp(-self.nll(*self.answer(row, row["paraphrased"] or row["answer"])))
        return math.exp(-sum(wrong) / len(wrong)) / (right + 1e-10)

    def right(self, ids: list[int], start: int, dropped: int) -> list[bool]:
        found = self.log_softmax(ids, start).argmax(-1) == torch.tensor(ids[start:])
        return found[: len(found) - dropped].tolist()

    def min_k(self, ids: list[int], start: int) -> float:
        found = sorted(self.labels(ids, start)[:-1])
        return -float(np.mean(found[: max(1, int(0.4 * len(found)))]))

    def min_k_plus_plus(self, ids: list[int], start: int) -> float:
        whole = self.log_softmax(ids, start)[:-1]
        means = (whole.exp() * whole).sum(-1)
        variances = ((whole.exp() * whole**2).sum(-1) - means**2).clamp(min=1e-6)
        found = (torch.tensor(self.labels(ids, start)[:-1]) - means) / variances.sqrt()
        return -float(found.sort().values[: max(1, int(0.4 * len(found)))].mean())

    def gradient(self, ids: list[int], start: int) -> float:
        self.model.zero_grad()
        labels = [-100] * start + ids[start:-1] + [-100]
        self.model(torch.tensor([ids]), labels=torch.tensor([labels])).loss.backward()
        return float(np.mean([float(p.grad.norm()) for p in self.model.parameters()]))

    def generated(self, prompt: str, tokens: int, stops: list[str]) -> str:
        ids = torch.tensor([self.tokenizer(prompt)["input_ids"]])
        made = self.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, pad_token_id=0
        )
        text = self.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
        for stop in stops:
            text = text.split(stop)[0]
        return str(text.strip())


def rouge(truth: str, answer: str, kind: str, field: str) -> float:
    return float(getattr(RougeScorer([kind], use_stemmer=True).score(truth, answer)[kind], field))


def area(forget: list[float], holdout: list[float]) -> float:
    return float(roc_auc_score([0] * len(forget) + [1] * len(holdout), forget + holdout))


def tail(right: list[bool]) -> float:
    """Extraction strength as published, by brute force."""
    return next((1 - k / len(right) for k in range(len(right)) if all(right[k:])), 1 / len(right))


# --- TOFU --------------------------------------------------------------------------------------------------------------


def test_probabilities_are_those_of_each_answer_alone(measured: Path, learned: dict[str, Path]) -> None:
    obvious, sets = Obvious(learned["model"]), tofu()
    for split in ("forget", "retain"):
        expected = [obvious.prob(row, row["answer"]) for row in sets[split]]
        assert numbers(measured, "prob", split) == pytest.approx(expected, rel=1e-4)
        assert scores(measured)["metrics"][f"{split}_prob"]["value"] == pytest.approx(np.mean(expected), rel=1e-4)
    for split in ("real_authors", "world_facts"):
        right = [obvious.prob(row, row["answer"]) for row in sets[split]]
        wrong = [sum(obvious.prob(row, text) for text in row["perturbed"]) for row in sets[split]]
        expected = [p / (p + q + 1e-10) for p, q in zip(right, wrong, strict=True)]
        assert numbers(measured, "prob_normalised", split) == pytest.approx(expected, rel=1e-4)


def test_truth_ratios_are_those_of_each_answer_alone(measured: Path, learned: dict[str, Path]) -> None:
    obvious, sets = Obvious(learned["model"]), tofu()
    found = {split: [obvious.truth_ratio(row) for row in sets[split]] for split in sets if split != "holdout"}
    for split, expected in found.items():
        assert numbers(measured, "truth_ratio", split) == pytest.approx(expected, rel=1e-3)
    value = scores(measured)["metrics"]
    closer = np.mean([min(r, 1 / (r + 1e-10)) for r in found["forget"]])
    assert value["forget_truth_ratio"]["value"] == pytest.approx(closer, rel=1e-3)
    assert value["retain_truth_ratio"]["value"] == pytest.approx(np.mean([max(0, 1 - r) for r in found["retain"]]), rel=1e-3)


def test_rouge_is_of_greedy_answers_that_end_at_a_stop(measured: Path, learned: dict[str, Path]) -> None:
    obvious = Obvious(learned["model"])
    outputs = {(row["split"], row["id"]): row["output"] for row in read_rows(measured / "outputs.jsonl")}
    for split in ("forget", "retain", "real_authors", "world_facts"):
        made = [obvious.generated(f"Q: {row['prompt']}\nA:", 12, ["Question:"]) for row in tofu()[split]]
        assert [outputs[split, row["id"]] for row in tofu()[split]] == made
        expected = [rouge(row["answer"], text, "rougeL", "recall") for row, text in zip(tofu()[split], made, strict=True)]
        assert numbers(measured, "rouge", split) == pytest.approx(expected)
    assert len(set(outputs.values())) > 3


def test_utility_is_the_harmonic_mean_of_nine(measured: Path) -> None:
    found = scores(measured)["metrics"]["model_utility"]
    assert sorted(found["parts"]) == sorted(
        f"{split}.{name}"
        for split, prob in (("retain", "prob"), ("real_authors", "prob_normalised"), ("world_facts", "prob_normalised"))
        for name in (prob, "rouge", "truth_ratio")
    )
    for name, value in found["parts"].items():
        split, quantity = name.split(".")
        own = numbers(measured, quantity, split)
        assert value == pytest.approx(np.mean([max(0, 1 - r) for r in own] if quantity == "truth_ratio" else own))
    assert found["value"] == pytest.approx(scipy.stats.hmean(list(found["parts"].values())))


def test_memorization_is_that_of_each_answer_alone(measured: Path, learned: dict[str, Path]) -> None:
    obvious = Obvious(learned["model"])
    right = [obvious.right(*obvious.answer(row, row["answer"]), dropped=1) for row in tofu()["forget"]]
    assert numbers(measured, "exact_memorization", "forget") == pytest.approx([np.mean(one) for one in right])
    assert numbers(measured, "extraction_strength", "forget") == pytest.approx([tail(one) for one in right])
    assert 0 < scores(measured)["metrics"]["exact_memorization"]["value"] < 1


def test_membership_scores_are_those_of_each_answer_alone(measured: Path, learned: dict[str, Path]) -> None:
    obvious, reference = Obvious(learned["model"]), Obvious(learned["reference"])

    def zlibbed(ids: list[int], start: int) -> float:
        text = obvious.tokenizer.decode(ids[start:], skip_special_tokens=True)
        return obvious.nll(ids, start) / len(zlib.compress(text.encode()))

    how: dict[str, Callable[[list[int], int], float]] = {
        "mia_loss": obvious.nll,
        "mia_reference": lambda *one: obvious.nll(*one) - reference.nll(*one),
        "mia_zlib": zlibbed,
        "mia_min_k": obvious.min_k,
        "mia_min_k_plus_plus": obvious.min_k_plus_plus,
        "mia_gradnorm": obvious.gradient,
    }
    for name, one in how.items():
        expected = {s: [one(*obvious.answer(row, row["answer"])) for row in tofu()[s]] for s in ("forget", "holdout")}
        for split, values in expected.items():
            assert numbers(measured, name, split) == pytest.approx(values, rel=2e-3, abs=1e-5), name
        found = scores(measured)["metrics"][name]
        assert found["value"] == pytest.approx(area(expected["forget"], expected["holdout"])), name
        assert found["n"] == 8


def test_recall_leaves_out_the_rows_that_its_prefix_is_made_of(measured: Path, learned: dict[str, Path]) -> None:
    obvious, holdout = Obvious(learned["model"]), tofu()["holdout"]
    found = [row for row in read_rows(measured / "items.jsonl") if row["metric"] == "mia_recall"]
    (shot,) = {row["id"] for row in holdout} - {row["id"] for row in found}
    (before,) = [row for row in holdout if row["id"] == shot]
    prefix = obvious.tokenizer(f"Q: {before['prompt']}\nA: {before['answer']}\n\n")["input_ids"][:20]
    rows = {row["id"]: row for name in ("forget", "holdout") for row in tofu()[name]}
    for item in found:
        ids, start = obvious.answer(rows[item["id"]], rows[item["id"]]["answer"])
        behind = obvious.nll(prefix + ids, len(prefix) + start)
        assert item["value"] == pytest.approx(-behind / obvious.nll(ids, start), rel=1e-3)
    assert scores(measured)["metrics"]["mia_recall"]["n"] == 7


def test_what_compares_takes_the_other_models_items(measured: Path) -> None:
    """The reference's and the start's numbers come from what their own evaluations wrote."""
    reference, start, value = measured.parent / "reference", measured.parent / "start", scores(measured)["metrics"]
    for metric, quantity in (("forget_quality", "truth_ratio"), ("forget_prob_ks", "prob")):
        samples = [numbers(folder, quantity, "forget") for folder in (measured, reference)]
        assert value[metric]["value"] == pytest.approx(scipy.stats.ks_2samp(*samples).pvalue)
    a, r = (area(*(numbers(one, "mia_min_k", s) for s in ("forget", "holdout"))) for one in (measured, reference))
    assert a != r
    assert value["privleak"]["value"] == pytest.approx(100 * ((1 - a) - (1 - r)) / (1 - r + 1e-10))
    assert value["rel_diff"]["value"] == pytest.approx(100 * (a - r) / (r + 1e-10))
    assert value["privleak"]["parts"] == {"auc": pytest.approx(a), "reference_auc": pytest.approx(r)}
    drops = [1 - np.mean(numbers(measured, "prob", s)) / np.mean(numbers(start, "prob", s)) for s in ("forget", "retain")]
    assert value["selectivity"]["value"] == pytest.approx(drops[0] / drops[1])


def test_the_reference_itself_is_compared_with_nothing_and_it_says_so(measured: Path) -> None:
    found = scores(measured.parent / "reference")
    for name in ("forget_quality", "forget_prob_ks", "privleak", "rel_diff", "mia_reference", "selectivity"):
        assert found["metrics"][name]["value"] is None
        assert "itself" in found["metrics"][name]["reason"]
    assert found["reference_fingerprint"] is None
    assert scores(measured)["reference_fingerprint"] == "evaluate".ljust(64, "0")
    assert found["metrics"]["forget_truth_ratio"]["value"] is not None


def test_scores_say_what_was_measured_and_how(measured: Path) -> None:
    found = scores(measured)
    assert list(found["metrics"]) == sorted(TOFU_METRICS)
    assert (found["suite"], found["version"], found["dtype"], found["cut"]) == ("tofu.small", 1, "float32", {})
    assert len(found["prompt_hash"]) == 16
    assert {row.keys() == {"metric", "split", "id", "value"} for row in read_rows(measured / "items.jsonl")} == {True}


@pytest.mark.parametrize("batch", [1, 100])
def test_the_batch_size_changes_nothing_but_rounding(
    make_job: MakeJob, measured: Path, learned: dict[str, Path], rows: dict[str, Path], batch: int
) -> None:
    others = {name: measured.parent / name for name in ("reference", "start")}
    config = {**CONFIG, "execution": {"batch_size": batch, "device": "cpu"}}
    found = done(make_job("evaluate", config, {"model": learned["model"], "small": rows["small"], **others}))
    assert (found / "outputs.jsonl").read_bytes() == (measured / "outputs.jsonl").read_bytes()
    pairs = [read_rows(folder / "items.jsonl") for folder in (found, measured)]
    assert [row["value"] for row in pairs[0]] == pytest.approx([row["value"] for row in pairs[1]], rel=1e-3, abs=1e-6)
    assert scores(found)["prompt_hash"] == scores(measured)["prompt_hash"]


def test_other_forms_are_chosen_by_name(
    make_job: MakeJob, measured: Path, learned: dict[str, Path], rows: dict[str, Path]
) -> None:
    obvious = Obvious(learned["model"])
    config = {
        **CONFIG, "metrics": ["retain_truth_ratio", "forget_truth_ratio", "extraction_strength", "exact_memorization"],
        "truth_ratio": "prob_mean", "nothing_extracted": "zero", "last_token": "dropped_if_end",
    }  # fmt: skip
    found = done(make_job("evaluate", config, {"model": learned["model"], "small": rows["small"]}))
    shares = [1 / (1 + ratio) for ratio in numbers(measured, "truth_ratio", "retain")]
    assert numbers(found, "truth_ratio", "retain") == pytest.approx(shares, rel=1e-4)
    assert scores(found)["metrics"]["retain_truth_ratio"]["value"] == pytest.approx(np.mean(shares), rel=1e-4)
    assert numbers(found, "truth_ratio", "forget") == pytest.approx(numbers(measured, "truth_ratio", "forget"), rel=1e-4)
    right = [obvious.right(*obvious.answer(row, row["answer"]), dropped=1) for row in tofu()["forget"]]
    expected = [tail(one) if one[-1] else 0 for one in right]
    assert numbers(found, "extraction_strength", "forget") == pytest.approx(expected)


def test_the_same_job_writes_the_same_bytes(make_job: MakeJob, learned: dict[str, Path], rows: dict[str, Path]) -> None:
    config = {**CONFIG, "metrics": ["forget_prob", "forget_rouge", "mia_recall"]}
    found = [done(make_job(name, config, {"model": learned["model"], "small": rows["small"]})) for name in ("a", "b")]
    for file in ("scores.json", "items.jsonl", "outputs.jsonl"):
        assert (found[0] / file).read_bytes() == (found[1] / file).read_bytes()


def test_a_row_that_stands_twice_counts_twice(make_job: MakeJob, learned: dict[str, Path], tmp_path: Path) -> None:
    forget = tofu()["forget"][:2]
    place = write_sets(tmp_path / "twice", {"forget": [forget[0], forget[0], forget[1]]})
    found = done(make_job("e", {**CONFIG, "metrics": ["forget_prob"]}, {"model": learned["model"], "twice": place}))
    assert len(set(numbers(found, "prob", "forget"))) == 2
    assert scores(found)["metrics"]["forget_prob"]["n"] == 3


# --- MUSE --------------------------------------------------------------------------------------------------------------


def test_muse_is_measured_on_its_own_sets(make_job: MakeJob, learned: dict[str, Path], rows: dict[str, Path]) -> None:
    folder = compared(make_job, learned, MUSE, "news", rows["news"])
    obvious, sets, value = Obvious(learned["model"]), muse(), scores(folder)["metrics"]
    for split in ("forget_knowmem", "retain_knowmem"):
        shown = "".join(f"Question: {row['prompt']}\nAnswer: {row['answer']}\n\n" for row in sets[f"{split}_icl"])
        asked = [f"{shown}Question: {row['prompt']}\nAnswer: " for row in sets[split]]
        made = [obvious.generated(prompt, 12, ["\n\n", "Question:"]) for prompt in asked]
        expected = [rouge(row["answer"], text, "rougeL", "fmeasure") for row, text in zip(sets[split], made, strict=True)]
        assert numbers(folder, "rouge", split) == pytest.approx(expected)
        assert value[f"{split}_rouge"]["value"] == pytest.approx(np.mean(expected))
    made = [obvious.generated(row["prompt"], 9, []) for row in sets["forget_verbmem"]]
    expected = [
        rouge(row["answer"], text, "rougeL", "fmeasure") for row, text in zip(sets["forget_verbmem"], made, strict=True)
    ]
    assert numbers(folder, "rouge", "forget_verbmem") == pytest.approx(expected)
    right = [obvious.right(*obvious.recited(row, 25), dropped=1) for row in sets["forget_verbmem"]]
    assert numbers(folder, "exact_memorization", "forget_verbmem") == pytest.approx([np.mean(one) for one in right])
    assert numbers(folder, "extraction_strength", "forget_verbmem") == pytest.approx([tail(one) for one in right])
    for quantity, one in (("mia_min_k", obvious.min_k), ("mia_loss", obvious.nll)):
        for split in ("forget", "holdout"):
            found = [one(*obvious.text(row, 25)) for row in sets[split]]
            assert numbers(folder, quantity, split) == pytest.approx(found, rel=1e-3)
    assert scores(folder)["cut"]["forget"] == sum(
        len(obvious.tokenizer(row["text"])["input_ids"]) > 25 for row in sets["forget"]
    )
    assert value["mia_recall"]["n"] == 10
