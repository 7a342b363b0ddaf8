"""Job `train`: one stage of a method, by the trainer of its algorithm, from a start model to a `checkpoint.hf`.

Inputs: `start` (checkpoint.hf), `data` (the dataset that the algorithm wants), and for distillation `teacher` (checkpoint.hf).
With an adapter it makes a `checkpoint.adapter`. Beside the model it writes `train_log.jsonl`, and the model after each step to
be kept into `steps/N/`. `recorded_sgd` leaves a record of its updates (`train/unlearn/record.py`), by which `lmcleaner`
corrects the weights that it ended with; nothing is trained there.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import disable_progress_bars
from peft import PeftModel
from transformers import AutoModelForCausalLM, PrinterCallback, Trainer, set_seed
from transformers.utils.logging import disable_progress_bar

from runtime.data.rows import read_rows, write_rows
from runtime.errors import EndedEarly, JobError
from runtime.job import Job
from runtime.models import load_tokenizer, save_checkpoint
from runtime.models.adapters import save_adapter
from runtime.prompts import prompt_form, prompt_hash, render_prompt
from runtime.store.steps import missing_in
from runtime.train import alarms, resume
from runtime.train.keep import Keeper
from runtime.train.order import Order
from runtime.train.recipe import Recipe, parse_recipe
from runtime.train.setup import MakeTrainer, Setup
from runtime.train.unlearn.lmcleaner import Cleaning
from runtime.train.unlearn.settings import LEARNING, parse_unlearning
from runtime.train.unlearn.settings import OWN as UNLEARNING
from runtime.train.watch import GO_ON, WITHDRAWN, Watch
from runtime.train.whole import Weights, broken_weight, is_divided, whole_weights

ALGORITHMS: Mapping[str, str] = {
    **{name: f"runtime.train.{name}" for name in ("sft", "dpo", "grpo", "sdft", "distill", "pi_distill")},
    **dict.fromkeys(UNLEARNING, "runtime.train.unlearn.trainer"),
}

CLEANING = "lmcleaner"  # which trains nothing

# Of these the last logged value is a fact of the job. A share of groups without spread near 1 means that the reward teaches
# nothing any more, or is being cheated; a clipped ratio near 1 that answers are too long for the limit.
LAST_FACTS = ("loss", "reward", "frac_reward_zero_std", "completions/clipped_ratio", "num_tokens", "forget_loss", "retain_loss",
              "dual")  # fmt: skip


def run(job: Job) -> Mapping[str, Any]:
    """Train, or correct, and save. Raises JobError when that diverged, or did not reach its planned steps."""
    if job.config.get("algorithm") == CLEANING:
        return _clean(job)
    recipe = _read_config(job.config)
    make_trainer = find_algorithm(recipe.algorithm)
    _silence_bars()
    set_seed(recipe.seed)
    watch = Watch(job)
    setup = _set_up(job, recipe, watch)
    trainer = make_trainer(setup)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Order())
    keep = recipe.execution.keep
    trainer.add_callback(resume.Seal())
    trainer.add_callback(Keeper(job.out, keep, lambda model, folder, weights: _write_model(model, job, folder, weights)))
    _train(trainer, watch, setup.scratch, missing_in(job.out, keep))
    return _finish(job, setup, trainer)


def find_algorithm(name: str) -> MakeTrainer:
    """The `trainer` function of an algorithm; raises JobError that lists those there are."""
    if name not in ALGORITHMS:
        raise JobError(f"algorithm: there is no {name!r}; this runtime has {', '.join(sorted([*ALGORITHMS, CLEANING]))}")
    make: MakeTrainer = importlib.import_module(ALGORITHMS[name]).trainer
    return make


def _read_config(config: Mapping[str, Any]) -> Recipe:
    return parse_unlearning(config) if config.get("algorithm") in UNLEARNING else parse_recipe(config)


def _silence_bars() -> None:
    """The log has progress lines of our own; bars are for terminals."""
    disable_progress_bars()
    disable_progress_bar()


def _set_up(job: Job, recipe: Recipe, watch: Watch) -> Setup:
    start = job.inputs["start"].path
    unlearns = recipe.algorithm in UNLEARNING and recipe.algorithm not in LEARNING
    data = job.inputs["data"].path / ("forget.jsonl" if unlearns else "data.jsonl")
    rows = read_rows(data)
    if not rows:
        raise JobError(f"{data}: holds no row to train on")
    model = AutoModelForCausalLM.from_pretrained(start, dtype=getattr(torch, recipe.model_dtype))
    teacher = job.inputs["teacher"].path if "teacher" in job.inputs else None
    return Setup(recipe, model, load_tokenizer(start), rows, job.out / "checkpoints", watch, teacher)


def _train(trainer: Trainer, watch: Watch, scratch: Path, wanted: Sequence[int]) -> None:
    """Run the loop, from the last checkpoint of this very fingerprint if there is one, and see that it ran to its end.

    A checkpoint past one of the steps `wanted` is none to go on from.
    """
    resume.read_numbered_cpus()
    whole, torn = resume.found(scratch)
    last = whole[-1] if whole else None
    past = [step for step in wanted if last and step <= resume.step_of(last)]
    trainer.accelerator.wait_for_everyone()  # all have looked
    if torn and trainer.is_world_process_zero():
        resume.discard(torn)
    if past:
        print(f"an earlier run is past step {past[0]}, which is to be kept: training starts anew", flush=True)
        if trainer.is_world_process_zero():
            shutil.rmtree(scratch)
    with watch.stoppable():
        trainer.train(resume_from_checkpoint=None if past or last is None else str(last))
    state = trainer.state
    if state.global_step < state.max_steps:
        raise _ended_early(watch, state.global_step, state.max_steps)


def _ended_early(watch: Watch, done: int, total: int) -> EndedEarly:
    withdrawn = watch.stop_asked == WITHDRAWN
    word = "withdrawn" if withdrawn else "stopped"
    message = f"{word} at step {done} of {total}; run the job again to go on from there"
    return EndedEarly(message, done, total, withdrawn=withdrawn)


def _clean(job: Job) -> Mapping[str, Any]:
    """Correct the start by its record, and save what comes of it."""
    _silence_bars()
    watch, cleaning = Watch(job), Cleaning(job)
    scratch, correction = job.out / "checkpoints", cleaning.correction

    def told(done: int, total: int) -> bool:
        job.progress(done, total, norm=correction.course[-1]["norm"])
        return watch.stop_asked != GO_ON

    with watch.stoppable():
        whole = cleaning.go(scratch / "correction.safetensors", told)
    if not whole:
        raise _ended_early(watch, correction.step - correction.first, correction.last - correction.first)
    broken = broken_weight(cleaning.model)
    if broken:
        raise JobError(f"{broken} holds values that are not finite numbers after the correction; take a smaller window")
    write_rows(job.out / "train_log.jsonl", correction.course)
    _save(cleaning.model, job, None)
    shutil.rmtree(scratch, ignore_errors=True)
    return {**cleaning.facts(), **_asked(cleaning.rows, cleaning.tokenizer)}


def _finish(job: Job, setup: Setup, trainer: Trainer) -> Mapping[str, Any]:
    recipe, state = setup.recipe, trainer.state
    if recipe.must_steps is not None and state.global_step != recipe.must_steps:
        raise JobError(f"took {state.global_step} steps, the plan wants {recipe.must_steps}; the data or the batch differs")
    model = trainer.accelerator.unwrap_model(trainer.model)
    broken = broken_weight(model)
    if broken:
        raise JobError(f"{broken} holds values that are not finite numbers after training; lower lr or grad_clip")
    weights = whole_weights(model) if is_divided(model) else None  # all processes put it together
    if state.is_world_process_zero:
        write_rows(job.out / "train_log.jsonl", setup.watch.history)
        _save(model, job, weights)
        shutil.rmtree(setup.scratch, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()  # no process may end before the checkpoint is whole
    return _facts(setup, state.global_step)


def _save(model: Any, job: Job, weights: Weights | None) -> None:
    """Write the checkpoint into a folder of its own, then move its files into place. The tokenizer is the start's own."""
    part = job.out / ".model.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    _write_model(model, job, part, weights)
    for file in part.iterdir():
        file.replace(job.out / file.name)
    part.rmdir()


def _write_model(model: Any, job: Job, folder: Path, weights: Weights | None) -> None:
    write = save_adapter if isinstance(model, PeftModel) else save_checkpoint
    write(model, load_tokenizer(job.inputs["start"].path), folder, weights)


def _facts(setup: Setup, steps: int) -> Mapping[str, Any]:
    history = setup.watch.history
    facts: dict[str, Any] = {"steps": steps, "rows": len(setup.rows), "examples": steps * setup.recipe.batch_size}
    facts["kept"] = sorted(setup.recipe.execution.keep)
    for name in LAST_FACTS:
        values = [entry[name] for entry in history if name in entry]
        if values:
            facts[name] = values[-1]
    if alarms.samples(history):
        facts["alarms"] = alarms.as_facts(history)
    return {**facts, **_asked(setup.rows, setup.tokenizer)}


def _asked(rows: Sequence[Mapping[str, Any]], tokenizer: Any) -> Mapping[str, str]:
    """The hash of the prompts as trained on, and of their form, which travel with the checkpoint."""
    prompts = [render_prompt(row["prompt"], tokenizer) for row in rows if "prompt" in row]
    return {"prompt_hash": prompt_hash(prompts), "prompt_form": prompt_form(tokenizer)} if prompts else {}
