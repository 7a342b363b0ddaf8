"""How far a model has moved from another: the KL divergence of their answers, held against counting all answers."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from runtime.data.rows import read_rows, write_rows
from runtime.divergence.along import Answer, along
from runtime.divergence.kl import answer_kl, token_kl
from runtime.domains import make_rows
from runtime.errors import JobError
from runtime.job import Job
from runtime.jobs import evaluate
from runtime.models import load_model, load_tokenizer, save_checkpoint
from runtime.prompts import prompt_hash, render_prompt
from runtime.sampling import Decoding
from tests.runtime import toys

MakeJob = Callable[..., Job]

END, SYMBOLS, LONGEST = 0, 3, 4  # a vocabulary of three symbols, one of which ends an answer; at most four of them
CONFIG: dict[str, Any] = {
    "suite": "kl", "version": 1, "divergence": "kl", "domains": ["math"], "prompts": 6, "samples": 2, "max_new_tokens": 8,
    "seed": 1, "batch": 5,
}  # fmt: skip


def table(seed: int) -> dict[tuple[int, ...], torch.Tensor]:
    """A language model as a table: the logits of the next symbol (float64) after every beginning."""
    draws = torch.Generator().manual_seed(seed)
    beginnings = [b for n in range(LONGEST) for b in itertools.product(range(1, SYMBOLS), repeat=n)]
    return {beginning: torch.randn(SYMBOLS, generator=draws, dtype=torch.float64) * 2 for beginning in beginnings}


def answers() -> Iterator[tuple[int, ...]]:
    """Every answer: it ends with the end symbol, or is as long as may be."""
    for n in range(LONGEST):
        yield from ((*start, END) for start in itertools.product(range(1, SYMBOLS), repeat=n))
    yield from itertools.product(range(1, SYMBOLS), repeat=LONGEST)


def along_table(model: dict[tuple[int, ...], torch.Tensor], answer: tuple[int, ...]) -> torch.Tensor:
    """The logits from which each symbol of an answer is drawn, (L, V)."""
    return torch.stack([model[answer[:place]] for place in range(len(answer))])


def log_probability(model: dict[tuple[int, ...], torch.Tensor], answer: tuple[int, ...]) -> float:
    return float(along_table(model, answer).log_softmax(-1)[range(len(answer)), list(answer)].sum())


def test_the_mean_over_answers_of_the_sums_is_the_divergence_of_the_answers_themselves() -> None:
    first, second = table(1), table(2)
    chances = {answer: math.exp(log_probability(first, answer)) for answer in answers()}
    assert math.isclose(sum(chances.values()), 1.0)
    counted = sum(p * (math.log(p) - log_probability(second, answer)) for answer, p in chances.items())
    sums = {
        answer: float(
            answer_kl(along_table(first, answer)[None], along_table(second, answer)[None], torch.ones(1, len(answer)))
        )
        for answer in chances
    }
    assert math.isclose(sum(p * sums[answer] for answer, p in chances.items()), counted, rel_tol=1e-12)
    assert counted > 0.5 and len({round(value, 9) for value in sums.values()}) > 4


def test_its_directions_differ_and_a_model_is_at_no_distance_from_itself() -> None:
    first, second = torch.tensor([0.7, 0.2, 0.1]).log(), torch.tensor([0.1, 0.3, 0.6]).log()
    forward = 0.7 * math.log(7) + 0.2 * math.log(2 / 3) + 0.1 * math.log(1 / 6)
    reverse = 0.1 * math.log(1 / 7) + 0.3 * math.log(1.5) + 0.6 * math.log(6)
    assert float(token_kl(first, second)) == pytest.approx(forward)
    assert float(token_kl(second, first)) == pytest.approx(reverse)
    assert float(token_kl(first, first)) == 0.0


def test_what_the_first_model_never_says_counts_nothing_and_what_the_second_never_says_is_infinitely_far() -> None:
    half, whole = torch.tensor([0.0, 0.5, 0.5]).log(), torch.tensor([0.2, 0.4, 0.4]).log()
    assert float(token_kl(half, whole)) == pytest.approx(math.log(1.25))
    assert float(token_kl(whole, half)) == math.inf


def test_tokens_behind_an_answer_count_nothing() -> None:
    first, second = torch.randn(2, 5, 7), torch.randn(2, 5, 7)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    found = answer_kl(first, second, mask)
    assert found[0] == pytest.approx(float(answer_kl(first[:1, :3], second[:1, :3], torch.ones(1, 3))[0]))
    assert found[1] == pytest.approx(float(answer_kl(first[1:], second[1:], torch.ones(1, 5))[0]))


def checkpoint(folder: Path, seed: int) -> Path:
    return toys.untrained(folder, seed=seed, spread=8.0)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two models of strong and different opinions."""
    folder = tmp_path_factory.mktemp("models")
    return {"model": checkpoint(folder / "model", 1), "start": checkpoint(folder / "start", 2)}


def test_along_sampled_answers_it_is_what_log_probabilities_say_in_the_mean(models: dict[str, Path]) -> None:
    model, start, tokenizer = load_model(models["model"]), load_model(models["start"]), load_tokenizer(models["model"])
    prompts = [render_prompt("say up", tokenizer)] * 4000
    decoding = Decoding(2, temperature=1.0, batch=4000)
    found = along(start, model, tokenizer, prompts, range(4000), decoding)
    asked = tokenizer.encode(prompts[0], add_special_tokens=False)
    with torch.no_grad():
        first, second = (m(torch.tensor([asked])).logits[0, -1].double().log_softmax(-1) for m in (start, model))
        opening = float(token_kl(first, second))
        ids = torch.tensor([[*asked, symbol] for symbol in range(len(first))])
        later = [m(ids).logits[:, -1].double().log_softmax(-1) for m in (start, model)]
    going_on = first.exp().clone()
    going_on[tokenizer.eos_token_id] = 0
    exact = opening + float((going_on * token_kl(*later)).sum())
    mean = sum(answer.kl for answer in found) / len(found)
    assert mean == pytest.approx(exact, rel=0.05)
    assert exact > 0.2


def test_an_answer_is_the_same_alone_as_among_others(models: dict[str, Path]) -> None:
    model, start, tokenizer = load_model(models["model"]), load_model(models["start"]), load_tokenizer(models["model"])
    prompts = [render_prompt(f"say {word} and more of it"[: 8 + 3 * n], tokenizer) for n, word in enumerate(toys.WORDS)]
    decoding = Decoding(8, temperature=1.0, batch=8)
    together = along(start, model, tokenizer, prompts, range(8), decoding)
    alone = [along(start, model, tokenizer, [prompt], [seed], decoding)[0] for seed, prompt in enumerate(prompts)]
    assert [(a.tokens, a.finished) for a in together] == [(a.tokens, a.finished) for a in alone]
    assert [a.kl for a in together] == pytest.approx([a.kl for a in alone], rel=1e-4)
    assert all(isinstance(answer, Answer) and answer.tokens <= 8 for answer in together)


@pytest.fixture
def inputs(tmp_path: Path, models: dict[str, Path]) -> dict[str, Path]:
    rows = make_rows("arithmetic", 10, 10, seed=0)
    (tmp_path / "math").mkdir()
    for name, split in zip(("train", "eval"), rows, strict=True):
        write_rows(tmp_path / "math" / f"{name}.jsonl", split)
    return {**models, "math": tmp_path / "math"}


def scores(folder: Path) -> Any:
    return json.loads((folder / "scores.json").read_text())


def test_the_job_writes_both_directions_with_every_answer(make_job: MakeJob, inputs: dict[str, Path]) -> None:
    job = make_job("evaluate/kl", CONFIG, inputs)
    facts = evaluate.run(job)
    found, items = scores(job.out), read_rows(job.out / "items.jsonl")
    assert (found["suite"], found["version"], found["divergence"], found["dtype"]) == ("kl", 1, "kl", "float32")
    assert len(items) == 2 * 6 * 2
    for direction in ("forward", "reverse"):
        own = [item for item in items if item["direction"] == direction]
        score = found["tasks"]["math"][direction]
        assert score["answers"] == len(own) == 12
        assert score["tokens"] == sum(item["tokens"] for item in own)
        assert score["per_answer"] == pytest.approx(sum(item["kl"] for item in own) / 12) == facts[f"math {direction}"]
        assert score["per_token"] == pytest.approx(sum(item["kl"] for item in own) / score["tokens"])
        assert {(item["id"], item["sample"]) for item in own} == {
            (row["id"], n) for row in read_rows(inputs["math"] / "eval.jsonl")[:6] for n in range(2)
        }
    assert found["tasks"]["math"]["forward"]["per_answer"] != found["tasks"]["math"]["reverse"]["per_answer"]


def test_the_job_asks_what_the_other_suites_ask(make_job: MakeJob, inputs: dict[str, Path]) -> None:
    job = make_job("evaluate/kl", CONFIG, inputs)
    evaluate.run(job)
    tokenizer = load_tokenizer(inputs["model"])
    rendered = [render_prompt(row["prompt"], tokenizer) for row in read_rows(inputs["math"] / "eval.jsonl")[:6]]
    assert scores(job.out)["tasks"]["math"]["prompt_hash"] == prompt_hash(rendered)


def test_a_model_that_is_its_start_has_not_moved(make_job: MakeJob, inputs: dict[str, Path]) -> None:
    job = make_job("evaluate/kl", CONFIG, {**inputs, "model": inputs["start"]})
    assert set(evaluate.run(job).values()) == {0.0}


def test_the_answers_of_the_start_are_the_same_for_every_model(make_job: MakeJob, inputs: dict[str, Path]) -> None:
    lengths = []
    for name in ("model", "start"):
        job = make_job(name, CONFIG, {**inputs, "model": inputs[name]})
        evaluate.run(job)
        items = read_rows(job.out / "items.jsonl")
        lengths.append([item["tokens"] for item in items if item["direction"] == "forward"])
    assert lengths[0] == lengths[1]


def test_the_same_config_writes_the_same_bytes(make_job: MakeJob, inputs: dict[str, Path]) -> None:
    written = []
    for name in ("a", "b"):
        job = make_job(name, CONFIG, inputs)
        evaluate.run(job)
        written.append([(job.out / file).read_bytes() for file in ("scores.json", "items.jsonl")])
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"prompts": 11}, "wants 11 prompts of 'math', its evaluation rows are 10; ask for fewer"),
        ({"domains": ["code"]}, "domain 'code' has no input of its name"),
        ({"divergence": "tv"}, "there is no divergence 'tv'; this runtime has kl"),
    ],
)
def test_what_cannot_be_measured_says_why(
    make_job: MakeJob, inputs: dict[str, Path], changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(JobError, match=said):
        evaluate.run(make_job("evaluate/kl", {**CONFIG, **changed}, inputs))


def test_models_that_are_asked_differently_do_not_compare(
    make_job: MakeJob, inputs: dict[str, Path], tmp_path: Path, untrained: Path
) -> None:
    with pytest.raises(JobError, match="do not have the same vocabulary"):
        evaluate.run(make_job("other", CONFIG, {**inputs, "start": untrained}))
    chatty, tokenizer = tmp_path / "chatty", load_tokenizer(inputs["start"])
    tokenizer.chat_template = "{{ messages[0].content }}:"
    save_checkpoint(load_model(inputs["start"]), tokenizer, chatty)
    with pytest.raises(JobError, match="asked in different forms"):
        evaluate.run(make_job("form", CONFIG, {**inputs, "start": chatty}))
