"""Self-distillation on a toy model, by TRL's real trainer: what it minimises, who its teacher is, going on after a stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback, set_seed

from runtime.data.rows import read_rows
from runtime.errors import EndedEarly, JobError
from runtime.job import Job
from runtime.jobs import train
from runtime.models import load_model, load_tokenizer
from runtime.prompts import render_prompt
from runtime.train import sdft
from runtime.train.recipe import parse_recipe
from runtime.train.setup import Setup
from runtime.train.watch import Watch
from tests.runtime.toys import (
    ARGS,
    WORDS,
    Rows,
    Values,
    changed,
    interrupted,
    same,
    train_job,
    untrained,
    weights,
)

SHOWN: Rows = [{"id": f"d{n}", "prompt": f"say {word}", "privileged": f"{word} {n}"} for n, word in enumerate(WORDS * 4)]
SDFT: Values = {
    "backend": "trl", "algorithm": "sdft", "seed": 0, "batch_size": 8, "model_dtype": "float32", "longest": 64,
    "overlong": "error",
    "demonstration": "\nlike {privileged}", "execution": {"logging_steps": 1},
    "args": {**ARGS, "num_generations": 1, "max_prompt_length": None, "distillation_mode": "full_logits",
             "distillation_alpha": 1.0,
             "distillation_is_clip": None, "teacher_model_kind": "ema", "teacher_update_rate": 0.5},
}  # fmt: skip


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model with opinions, so that a demonstration changes what it would say."""
    return untrained(tmp_path_factory.mktemp("start"), spread=20.0)


@pytest.fixture
def make(start: Path, tmp_path: Path) -> Callable[..., Job]:
    def job(config: Values, rows: Rows = SHOWN, out: str = "out") -> Job:
        return train_job(config, rows, tmp_path, out, {"start": start})

    return job


def test_the_loss_is_the_reverse_kl_to_the_model_that_sees_the_demonstration(make: Callable[..., Job], start: Path) -> None:
    """At the first step the teacher is the start; both are run here by hand on what the trainer sampled."""
    job = make(changed(SDFT, max_steps=1, num_loss_tokens_to_skip=2, temperature=0.5))
    seen = Seen()
    made = trainer_of(job)
    made.add_callback(seen)
    made.train()
    model, tokenizer = load_model(start, torch.device("cpu")), load_tokenizer(start)
    expected = []
    for asked, shown, answer in seen.batch(tokenizer):
        row = next(row for row in SHOWN if tokenizer.encode(render_prompt(row["prompt"], tokenizer)) == asked
                   and row["privileged"] in tokenizer.decode(shown))  # fmt: skip
        assert tokenizer.decode(shown) == render_prompt(f"{row['prompt']}\nlike {row['privileged']}", tokenizer)
        student, teacher = (scores(model, prompt, answer, 0.5)[2:] for prompt in (asked, shown))
        expected.append((student.exp() * (student - teacher)).sum(-1).mean() if len(answer) > 2 else torch.tensor(0.0))
    logged = [entry["loss"] for entry in made.state.log_history if "loss" in entry]
    assert logged == [pytest.approx(float(torch.stack(expected).mean()), rel=1e-3)]
    assert logged[0] > 0


def test_the_student_moves_to_what_the_teacher_says(make: Callable[..., Job]) -> None:
    job = make(changed(SDFT, max_steps=40, teacher_model_kind="base"))
    facts = train.run(job)
    losses = [entry["loss"] for entry in read_rows(job.out / "train_log.jsonl") if "loss" in entry]
    assert facts["steps"] == 40 and facts["examples"] == 320
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    assert not (job.out / "checkpoints").exists()


def test_the_average_follows_the_student_at_its_rate(make: Callable[..., Job], start: Path) -> None:
    made = trainer_of(make(changed(SDFT, max_steps=1, teacher_update_rate=0.25)))
    made.train()
    before, after = weights(start), made.model.state_dict()
    for name, held in made.teacher_model.state_dict().items():
        assert torch.allclose(held, 0.75 * before[name] + 0.25 * after[name], atol=1e-6), name
    assert any(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("kind", ["ema", "base", "live"])
def test_a_job_that_was_stopped_goes_on_as_if_it_had_not(kind: str, make: Callable[..., Job]) -> None:
    """TRL itself would begin the average anew; the five steps go over the end of an epoch."""
    config = changed(SDFT, max_steps=5, teacher_model_kind=kind)
    whole = make(config, out="whole")
    train.run(whole)
    job = make(config)
    with pytest.raises(EndedEarly, match="stopped at step 2 of 5"):
        train.run(interrupted(job))
    left = sorted(path.name for path in (job.out / "checkpoints").iterdir())
    assert left == (["checkpoint-2", "teacher-2.pt"] if kind == "ema" else ["checkpoint-2"])
    assert train.run(job)["steps"] == 5
    assert same(job.out, whole.out)


def test_a_checkpoint_without_its_average_is_none_to_go_on_from(make: Callable[..., Job]) -> None:
    job = make(changed(SDFT, max_steps=5))
    with pytest.raises(EndedEarly):
        train.run(interrupted(job))
    (job.out / "checkpoints/teacher-2.pt").unlink()
    with pytest.raises(JobError, match=r"teacher-2\.pt is missing.*to start anew"):
        train.run(job)


def test_the_averages_of_the_checkpoints_that_are_there_are_kept(make: Callable[..., Job]) -> None:
    made = trainer_of(make({**changed(SDFT, max_steps=3), "execution": {"save_steps": 1}}))
    made.train()
    names = sorted(path.name for path in Path(made.args.output_dir).iterdir())
    assert names == ["checkpoint-2", "checkpoint-3", "teacher-2.pt", "teacher-3.pt"]


def test_steps_are_kept_and_the_seed_decides(make: Callable[..., Job]) -> None:
    jobs = [make({**changed(SDFT, max_steps=3), "seed": seed, "execution": {"keep": [2]}}, out=name)
            for name, seed in (("one", 1), ("two", 1), ("three", 2))]  # fmt: skip
    for job in jobs:
        assert train.run(job)["kept"] == [2]
    assert same(jobs[0].out, jobs[1].out) and same(jobs[0].out / "steps/2", jobs[1].out / "steps/2")
    assert not same(jobs[0].out, jobs[2].out) and not same(jobs[0].out / "steps/2", jobs[0].out)


def test_an_adapter_learns_from_the_start(make: Callable[..., Job]) -> None:
    lora = {"type": "lora", "rank": 4, "alpha": 8, "dropout": 0.0, "targets": "all-linear"}
    job = make({**changed(SDFT, teacher_model_kind="base"), "adapter": lora})
    assert train.run(job)["steps"] == 4
    assert (job.out / "adapter_config.json").is_file() and not (job.out / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({key: value for key, value in SDFT.items() if key != "demonstration"}, "demonstration must hold {privileged}"),
        ({**SDFT, "demonstration": "look"}, "demonstration must hold {privileged}"),
        ({**SDFT, "longest": 8}, "32 of 32 rows are longer than 8 tokens"),
        (changed(SDFT, distillation_mode="sampled_token", distillation_alpha=0.5), "SDFTConfig refuses these args"),
        (changed(SDFT, teacher_kind="ema"), "there is no 'teacher_kind'"),
    ],
)
def test_a_mistake_is_one_message(config: Values, message: str, make: Callable[..., Job]) -> None:
    with pytest.raises(JobError, match=message):
        train.run(make(config))


def test_braces_in_a_demonstration_are_only_text(make: Callable[..., Job]) -> None:
    rows = [{**row, "privileged": "{prompt} {0} }{"} for row in SHOWN]
    shown: Any = trainer_of(make(SDFT, rows)).train_dataset
    assert all(text.endswith("like {prompt} {0} }{\nA:") for text in shown["privileged_context"])


class Seen(TrainerCallback):
    """What the trainer tells of each batch that it has sampled."""

    def on_self_distillation_batch_prepared(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self.given = given

    def batch(self, tokenizer: Any) -> list[tuple[list[int], list[int], list[int]]]:
        """The student's prompt, the teacher's, and the answer, of each row, without padding."""
        found = []
        width = self.given["completion_ids"].shape[1]
        for asked, shown, answer in zip(
            *(self.given[name].tolist() for name in ("prompt_ids", "teacher_input_ids", "completion_ids")), strict=True
        ):
            end = answer.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in answer else len(answer)
            bare = [[token for token in ids if token != tokenizer.pad_token_id] for ids in (asked, shown[:-width])]
            found.append((bare[0], bare[1], answer[:end]))
        return found


def scores(model: Any, prompt: list[int], answer: list[int], temperature: float) -> torch.Tensor:
    """Log-probabilities of every token at each place of the answer, (answer, vocabulary)."""
    with torch.no_grad():
        logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    return (logits / temperature).log_softmax(-1)


def trainer_of(job: Job) -> Any:
    """The trainer that the job would run."""
    recipe = parse_recipe(job.config)
    set_seed(recipe.seed)
    start = job.inputs["start"].path
    model = load_model(start, torch.device("cpu"))
    rows = read_rows(job.inputs["data"].path / "data.jsonl")
    return sdft.trainer(Setup(recipe, model, load_tokenizer(start), rows, job.out / "checkpoints", Watch(job)))
