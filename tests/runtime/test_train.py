"""The train job on a toy model: TRL's real trainers run, on one core, in a second or two each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.processors import TemplateProcessing

from runtime.data.rows import read_rows
from runtime.errors import EndedEarly, JobError
from runtime.job import Job
from runtime.jobs import train
from runtime.models import load_model, load_tokenizer, save_checkpoint, tiny_qwen3, train_tokenizer
from runtime.prompts import render_prompt
from runtime.train import dpo, grpo, sft
from runtime.train.data import rendered
from runtime.train.recipe import accumulation, parse_recipe
from runtime.train.setup import Setup
from runtime.train.watch import Watch
from tests.runtime.toys import WORDS, Rows, Values, changed, interrupted, log_probability, same, train_job, weights

COPY: Rows = [
    {"id": f"c{index}", "prompt": f"say {word} {number}", "completion": f"{word} {number}"}
    for index, (word, number) in enumerate((word, number) for word in WORDS for number in range(10))
]
QUESTIONS: Rows = [
    {"id": f"y{word}{number}", "prompt": f"is it {word} {number}", "answer": "yes", "solution": "yes"}
    for word in WORDS
    for number in range(4)
]
ARGS: Values = {"learning_rate": 5e-3, "lr_scheduler_type": "constant", "max_steps": 20, "bf16": False, "fp16": False}
SFT: Values = {"backend": "trl", "algorithm": "sft", "seed": 0, "batch_size": 16, "model_dtype": "float32", "longest": 64,
               "overlong": "error", "args": {**ARGS, "completion_only_loss": True, "loss_type": "nll"}}  # fmt: skip
DPO: Values = {**SFT, "algorithm": "dpo", "args": {**ARGS, "learning_rate": 1e-3, "beta": 0.1}}
GRPO: Values = {
    **SFT,
    "algorithm": "grpo",
    "batch_size": 8,
    "grader": "qa",
    "args": {**ARGS, "learning_rate": 5e-3, "num_generations": 8, "max_completion_length": 8, "temperature": 1.0},
}


TOGETHER = """
import json, sys
from pathlib import Path
from runtime.job import Input, Job
from runtime.jobs import train
given = json.loads(Path(sys.argv[1]).read_text())
inputs = {name: Input(name, "any", Path(path), "0") for name, path in given["inputs"].items()}
facts = train.run(Job("train/together", "train", "test", "f", None, given["config"], inputs, Path(given["out"])))
print(f"together: {facts['steps']} steps", flush=True)
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of two narrow layers, as a checkpoint.hf."""
    folder = tmp_path_factory.mktemp("start")
    tokenizer = train_tokenizer([row["prompt"] + " " + row["completion"] for row in COPY], 320)
    save_checkpoint(tiny_qwen3(tokenizer, layers=2, hidden=32, heads=2, seed=0), tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def torn(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that answers every question with "yes" or "no", by equal odds."""
    folder = tmp_path_factory.mktemp("torn")
    rows = [{**row, "completion": word} for row in QUESTIONS for word in ("yes", "no")]
    train.run(train_job(changed(SFT, max_steps=40), rows, folder, "out", {"start": start}))
    return folder / "out"


@pytest.fixture
def make(start: Path, tmp_path: Path) -> Callable[..., Job]:
    """Make a train job of a config over rows; `out` is a new folder of that name."""

    def job(config: Values, rows: Rows, out: str = "out", model: Path = start) -> Job:
        return train_job(config, rows, tmp_path, out, {"start": model})

    return job


# ---- what a training makes ---------------------------------------------------------------------------------------------


def test_sft_teaches_the_completions_and_leaves_a_checkpoint_with_its_history(make: Callable[..., Job], start: Path) -> None:
    job = make(SFT, COPY)
    facts = train.run(job)
    assert facts["steps"] == 20 and facts["examples"] == 320 and facts["rows"] == 80
    losses = [entry["loss"] for entry in read_rows(job.out / "train_log.jsonl") if "loss" in entry]
    assert facts["loss"] == losses[-1] < losses[0]
    assert log_probability(job.out, "say up 3", "up 3") > log_probability(start, "say up 3", "up 3") + 5
    assert json.loads((job.out / "PROGRESS.json").read_text())["done"] == 20
    assert not (job.out / "checkpoints").exists() and not (job.out / ".model.part").exists()


def test_the_tokenizer_is_handed_on_unchanged(make: Callable[..., Job], start: Path) -> None:
    job = make(changed(SFT, max_steps=1), COPY)
    train.run(job)
    assert (job.out / "tokenizer.json").read_bytes() == (start / "tokenizer.json").read_bytes()
    left, right = load_tokenizer(job.out), load_tokenizer(start)
    assert (left.padding_side, left.pad_token, left.eos_token) == (right.padding_side, right.pad_token, right.eos_token)


def test_sft_takes_its_loss_on_the_completion_alone(make: Callable[..., Job]) -> None:
    setup = set_up(make(SFT, COPY[:16]))
    rows: Any = sft.trainer(setup).train_dataset
    for row in rows:
        learned = [label for label in row["labels"] if label != -100]
        assert setup.tokenizer.decode(learned) == f" {COPY[row_of(row, setup)]['completion']}{setup.tokenizer.eos_token}"


def test_dpo_raises_the_chosen_over_the_rejected(make: Callable[..., Job], start: Path) -> None:
    pairs = [{"id": r["id"], "prompt": r["prompt"], "chosen": r["completion"], "rejected": r["prompt"]} for r in COPY]
    job = make(DPO, pairs)
    facts = train.run(job)

    def margin(folder: Path) -> float:
        return sum(
            log_probability(folder, p["prompt"], p["chosen"]) - log_probability(folder, p["prompt"], p["rejected"])
            for p in pairs[:8]
        )

    assert facts["steps"] == 20
    assert margin(job.out) > margin(start) + 8


def test_grpo_raises_the_reward_of_a_verifiable_answer(make: Callable[..., Job], torn: Path) -> None:
    job = make({**GRPO, "execution": {"logging_steps": 1}}, QUESTIONS, model=torn)
    facts = train.run(job)
    rewards = [entry["reward"] for entry in read_rows(job.out / "train_log.jsonl") if "reward" in entry]
    assert 0.2 < rewards[0] < 0.8
    assert facts["reward"] == rewards[-1] > 0.95
    assert facts["frac_reward_zero_std"] > 0.5 and facts["completions/clipped_ratio"] < 0.05


@pytest.mark.parametrize("config", [SFT, DPO, GRPO], ids=lambda config: config["algorithm"])
def test_the_same_seed_gives_the_same_weights_bit_for_bit(config: Values, make: Callable[..., Job], torn: Path) -> None:
    jobs = [make({**changed(config, max_steps=3), "seed": seed}, rows_of(config), out=name, model=torn)
            for name, seed in (("one", 1), ("two", 1), ("three", 2))]  # fmt: skip
    for job in jobs:
        train.run(job)
    assert same(jobs[0].out, jobs[1].out)
    assert not same(jobs[0].out, jobs[2].out)


@pytest.mark.parametrize("config", [SFT, DPO], ids=lambda config: config["algorithm"])
def test_the_micro_batch_does_not_change_what_is_learned(config: Values, make: Callable[..., Job]) -> None:
    jobs = [make({**changed(config, max_steps=4), "execution": {"micro_batch_size": micro}}, rows_of(config), out=f"of-{micro}")
            for micro in (None, 4)]  # fmt: skip
    for job in jobs:
        train.run(job)
    one, other = (weights(job.out) for job in jobs)
    # Adam divides by the gradient's size, so where a gradient is all but 0 rounding shows: hence not closer.
    assert all(torch.allclose(one[name], other[name], atol=2e-3) for name in one)


def test_two_processes_learn_what_one_learns(make: Callable[..., Job], tmp_path: Path) -> None:
    """As the job's script starts them, by torchrun; here on CPUs, over gloo."""
    alone = make(keeping(changed(SFT, max_steps=4), 2), COPY, out="alone")
    train.run(alone)
    job = make(keeping(changed(SFT, max_steps=4), 2, devices=2, micro_batch_size=4), COPY, out="together")
    program = tmp_path / "program.py"
    program.write_text(TOGETHER)
    described = {"config": dict(job.config), "inputs": {name: str(given.path) for name, given in job.inputs.items()}}
    (tmp_path / "job.json").write_text(json.dumps({**described, "out": str(job.out)}))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(program)]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, str(tmp_path / "job.json")], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("together: 4 steps") == 2
    for part in ("", "steps/2"):
        one, other = weights(alone.out / part), weights(job.out / part)
        assert all(torch.allclose(one[name], other[name], atol=2e-3) for name in one)


# ---- what ends it ------------------------------------------------------------------------------------------------------


def test_a_stop_signal_leaves_a_checkpoint_from_which_the_same_job_goes_on(make: Callable[..., Job]) -> None:
    whole = make(changed(SFT, max_steps=6), COPY, out="whole")
    train.run(whole)
    job = make(changed(SFT, max_steps=6), COPY)
    with pytest.raises(EndedEarly, match="stopped at step 2 of 6") as ended:
        train.run(interrupted(job))
    assert ended.value.exit_code == 75
    assert not (job.out / "config.json").exists()
    facts = train.run(job)
    assert facts["steps"] == 6
    assert same(job.out, whole.out)


# ---- what is kept on the way ------------------------------------------------------------------------------------------


def keeping(config: Values, *steps: int, **execution: Any) -> Values:
    return {**config, "execution": {"keep": [*steps], **execution}}


@pytest.mark.parametrize("config", [SFT, DPO, GRPO], ids=lambda config: config["algorithm"])
def test_a_kept_step_is_what_a_run_stopped_there_would_be(config: Values, make: Callable[..., Job], torn: Path) -> None:
    job = make(keeping(changed(config, max_steps=4), 2, 4), rows_of(config), model=torn)
    assert train.run(job)["kept"] == [2, 4]
    stopped = make(changed(config, max_steps=2), rows_of(config), out="stopped", model=torn)
    train.run(stopped)
    assert same(job.out / "steps/2", stopped.out) and same(job.out / "steps/4", job.out)
    assert not same(job.out / "steps/2", job.out)
    assert {file.name for file in (job.out / "steps/2").iterdir()} == {file.name for file in stopped.out.iterdir()} - {
        "train_log.jsonl",
        "PROGRESS.json",
    }


def test_what_was_kept_before_a_stop_is_there_after_the_job_went_on(make: Callable[..., Job]) -> None:
    whole = make(keeping(changed(SFT, max_steps=6), 1, 5), COPY, out="whole")
    train.run(whole)
    job = make(keeping(changed(SFT, max_steps=6), 1, 5), COPY)
    with pytest.raises(EndedEarly, match="stopped at step 2 of 6"):
        train.run(interrupted(job))
    first = (job.out / "steps/1/model.safetensors").stat().st_mtime_ns
    train.run(job)
    assert (job.out / "steps/1/model.safetensors").stat().st_mtime_ns == first
    assert all(same(job.out / f"steps/{step}", whole.out / f"steps/{step}") for step in (1, 5))


def test_a_run_that_is_past_a_step_to_be_kept_begins_anew(make: Callable[..., Job], capsys: pytest.CaptureFixture[str]) -> None:
    """What is to be kept may grow between two attempts, since it decides no result."""
    job = make(changed(SFT, max_steps=6), COPY)
    with pytest.raises(EndedEarly):
        train.run(interrupted(job))
    later = Job(job.id, job.kind, job.study, job.fingerprint, None, keeping(job.config, 1), job.inputs, job.out)
    assert train.run(later)["kept"] == [1]
    assert "an earlier run is past step 1, which is to be kept: training starts anew" in capsys.readouterr().out
    stopped = make(changed(SFT, max_steps=1), COPY, out="stopped")
    train.run(stopped)
    assert same(job.out / "steps/1", stopped.out)


def test_a_step_that_the_training_does_not_reach_cannot_be_kept(make: Callable[..., Job]) -> None:
    with pytest.raises(JobError, match=r"execution\.keep: step 7 is past the last step, 3"):
        train.run(make(keeping(changed(SFT, max_steps=3), 2, 7), COPY))


def test_the_handlers_of_signals_are_put_back(make: Callable[..., Job]) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)]
    train.run(make(changed(SFT, max_steps=1), COPY))
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)] == before


def test_a_loss_that_is_no_number_ends_the_job_and_leaves_no_model(
    make: Callable[..., Job], start: Path, tmp_path: Path
) -> None:
    model = load_model(start, torch.device("cpu"))
    model.model.norm.weight.data.fill_(float("nan"))
    save_checkpoint(model, load_tokenizer(start), tmp_path / "broken")
    job = make(
        {**changed(SFT, logging_nan_inf_filter=False), "execution": {"logging_steps": 1}}, COPY, model=tmp_path / "broken"
    )
    with pytest.raises(JobError, match="is nan at step 1; lower lr"):
        train.run(job)
    assert not (job.out / "config.json").exists()


def test_a_diverged_model_is_caught_where_no_loss_was_logged(make: Callable[..., Job]) -> None:
    job = make({**changed(SFT, learning_rate=1e30, max_grad_norm=0.0, max_steps=4), "execution": {"logging_steps": 100}}, COPY)
    with pytest.raises(JobError, match=r"not finite|is nan"):
        train.run(job)


def test_fewer_steps_than_planned_are_a_failure(make: Callable[..., Job]) -> None:
    config = {**changed(SFT, max_steps=-1, num_train_epochs=1), "must": {"steps": 6}}
    with pytest.raises(JobError, match="took 5 steps, the plan wants 6"):
        train.run(make(config, COPY))


# ---- what is wrong with the config or the data -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({**SFT, "algorithm": "ppo"}, "there is no 'ppo'; this runtime has alternate_dpo, ceu, distill, dpo, "),
        ({**SFT, "batchsize": 4}, "there is no 'batchsize'; did you mean 'batch_size'"),
        ({key: value for key, value in SFT.items() if key != "seed"}, "the train config lacks seed"),
        ({**SFT, "execution": {"micro": 1}}, "execution: there is no 'micro'"),
        ({**SFT, "execution": {"micro_batch_size": 3}}, r"16 examples an update cannot be cut into 1 device"),
        (changed(SFT, learning_rat=1), "did you mean 'learning_rate'"),
        ({**SFT, "longest": 8}, "80 of 80 rows are longer than 8 tokens"),
        ({**SFT, "longest": 8, "overlong": "drop"}, "none of 80 rows has at most 8 tokens"),
        ({**SFT, "batch_size": 81}, "80 rows do not fill one batch of 81"),
        ({**GRPO, "grader": None}, "lacks grader"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message(config: Values, message: str, make: Callable[..., Job]) -> None:
    with pytest.raises(JobError, match=message):
        train.run(make(config, COPY))


def test_no_rows_is_one_message(make: Callable[..., Job]) -> None:
    with pytest.raises(JobError, match="holds no row to train on"):
        train.run(make(SFT, []))


def test_overlong_rows_can_be_dropped(make: Callable[..., Job]) -> None:
    long = {"id": "long", "prompt": "say " * 100, "completion": "up 1"}
    rows: Any = sft.trainer(set_up(make({**SFT, "overlong": "drop"}, [long, *COPY]))).train_dataset
    assert len(rows) == 80


def test_a_first_token_that_both_template_and_tokenizer_write_stands_once(start: Path) -> None:
    tokenizer = load_tokenizer(start)
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    tokenizer.chat_template = "{{ bos_token }}{{ messages[0].content }}|"
    text = rendered({"prompt": "say up 1", "completion": "up 1"}, ("completion",), tokenizer)
    assert text == {"prompt": "say up 1|", "completion": "up 1"}
    assert tokenizer(text["prompt"])["input_ids"].count(tokenizer.bos_token_id) == 1


def test_rows_that_fill_no_batch_are_left_out(make: Callable[..., Job]) -> None:
    rows: Any = dpo.trainer(set_up(make(DPO, rows_of(DPO)[:35]))).train_dataset
    assert len(rows) == 32


def test_a_grader_that_can_be_cheated_is_found_before_the_first_step(make: Callable[..., Job]) -> None:
    with pytest.raises(JobError, match="grader qa: row q pays for"):
        train.run(make(GRPO, [{"id": "q", "prompt": "who", "answer": "none", "solution": "none"}] * 8))


# ---- the reward --------------------------------------------------------------------------------------------------------


def test_only_a_right_answer_that_the_model_ended_is_rewarded() -> None:
    verifier = grpo.Verifier("math", end_token=9)
    row = json.dumps({"answer": "5"})
    assert verifier([" 5", " 5", " 6", ""], [[5, 9], [5], [6, 9], []], [row] * 4) == [1.0, 0.0, 0.0, 0.0]


def test_programs_are_rewarded_by_running_them() -> None:
    row = json.dumps({"prefix": "def f(x): return ", "tests": [{"call": "f(2)", "result": "4"}]})
    assert grpo.Verifier("code", end_token=0)([" x*2", " x**2", " x+1", " exit()"], [[1, 0]] * 4, [row] * 4) == [1, 1, 0, 0]


# ---- arithmetic of batches ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("examples", "micro", "devices", "passes"), [(64, 64, 1, 1), (64, 8, 2, 4), (256, 32, 4, 2)])
def test_an_update_is_cut_into_equal_forward_passes(examples: int, micro: int, devices: int, passes: int) -> None:
    assert accumulation(examples, micro, devices) == passes


def rows_of(config: Values) -> Rows:
    """The toy rows in the columns that an algorithm reads."""
    if config["algorithm"] == "dpo":
        return [{"id": r["id"], "prompt": r["prompt"], "chosen": r["completion"], "rejected": r["prompt"]} for r in COPY]
    if config["algorithm"] == "grpo":
        return QUESTIONS
    return COPY


def set_up(job: Job) -> Setup:
    start = job.inputs["start"].path
    rows: Sequence[Values] = read_rows(job.inputs["data"].path / "data.jsonl")
    model = load_model(start, torch.device("cpu"))
    return Setup(parse_recipe(job.config), model, load_tokenizer(start), rows, job.out / "checkpoints", Watch(job))


def row_of(row: Values, setup: Setup) -> int:
    """The place in COPY of a row that the trainer has tokenized."""
    text = setup.tokenizer.decode(row["input_ids"])
    return next(index for index, one in enumerate(COPY) if render_prompt(one["prompt"], setup.tokenizer) in text)
