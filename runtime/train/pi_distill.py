"""Privileged-information distillation (Penaloza et al. 2026, arXiv 2602.04942): one model is teacher and student.

A round: to each of `batch_size` prompts, shown what only the teacher sees, the model samples a group of answers, which a grader
rewards; then some updates are made of them, of the objective in `losses/pi_distill.py`. With the objective `opsd`, that of
`losses/opsd.py`, the answers are the student's, who is shown nothing. Each sample has a seed of its own, so that what is
sampled depends on neither micro-batch nor devices.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from datasets import Dataset
from transformers import Trainer, TrainingArguments
from trl.trainer.utils import RepeatSampler, disable_dropout_in_model

from runtime.errors import JobError
from runtime.graders.selftest import check_grader
from runtime.train.data import fitting, rendered, whole_batches
from runtime.train.losses.opsd import own_objective
from runtime.train.losses.pi_distill import Terms, alpha_at, student_objective, teacher_objective
from runtime.train.rounds import Asked, Round, RoundKeeper, sample_round, scores
from runtime.train.setup import Setup

SLOT = "{privileged}"
OBJECTIVES = ("pi_distill", "opsd")


@dataclass
class PiDistillConfig(TrainingArguments):
    """transformers' arguments and the objective's own; `sequences` are those that a device takes at once."""

    group_size: int = 2
    updates_per_round: int = 1
    max_answer_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    objective: str = "pi_distill"
    alpha_start: float = 0.5
    alpha_end: float = 0.5
    alpha_updates: int = 0
    kl_coef: float = 0.0
    kl_estimator: str = "rao_blackwell"
    clip_low: float = 0.2
    clip_high: float = 0.2
    scale_rewards: bool = False
    drop_uniform_groups: bool = True
    remove_unused_columns: bool = False

    @property
    def own(self) -> bool:
        """Whether the student learns from its own answers."""
        return self.objective == "opsd"

    def terms(self) -> Terms:
        """What the objective is given."""
        return Terms(self.kl_coef, self.clip_low, self.clip_high, self.kl_estimator == "rao_blackwell")


def trainer(setup: Setup) -> Trainer:
    """A trainer over rows of `{"prompt", "privileged", "answer", …}`."""
    recipe = setup.recipe
    if recipe.grader is None or recipe.demonstration is None or SLOT not in recipe.demonstration:
        raise JobError(f"the train config needs a grader, and a demonstration that holds {SLOT}")
    if recipe.adapter is not None:
        raise JobError("pi_distill trains all weights; leave adapter out")
    if recipe.args.get("objective", OBJECTIVES[0]) not in OBJECTIVES:
        raise JobError(f"objective: there is no {recipe.args['objective']!r}; there are {', '.join(OBJECTIVES)}")
    shown = [{"solution": row["privileged"], **row} for row in setup.rows]  # what the teacher sees is a right answer
    check_grader(recipe.grader, shown)
    kept = fitting([_texts(row, recipe.demonstration, setup.tokenizer) for row in setup.rows], (), setup.tokenizer, recipe)
    whole = replace(setup, recipe=replace(recipe, execution=replace(recipe.execution, micro_batch_size=None)))
    disable_dropout_in_model(setup.model)
    made = PiDistillTrainer(
        model=setup.model,
        args=whole.trl_config(PiDistillConfig, recipe.batch_size),
        train_dataset=Dataset.from_list(whole_batches(kept, recipe.batch_size)),
        processing_class=setup.tokenizer,
        data_collator=list,
        callbacks=[setup.watch],
    )
    made.grader, made.sequences = recipe.grader, recipe.execution.micro_batch_size
    made.add_callback(RoundKeeper(setup.scratch, made.rounds))
    return made


class PiDistillTrainer(Trainer):
    """Samples a round when the last one has had its updates. `rounds` holds that which is in use, or nothing at first."""

    args: PiDistillConfig

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.grader = ""
        self.sequences: int | None = None
        self.rows = given["train_dataset"]
        self.pad: int = given["processing_class"].pad_token_id
        self.rounds: list[Round] = []
        self.noted: dict[str, list[float]] = {}

    def _get_train_sampler(self, train_dataset: Any = None) -> RepeatSampler:
        args = self.args
        prompts = args.per_device_train_batch_size * args.world_size
        return RepeatSampler(self.rows, 1, prompts, args.updates_per_round, seed=args.seed)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """One update's loss, -J in the mean over the answers of this device, and its gradient."""
        update = self.state.global_step
        if update % self.args.updates_per_round == 0 or not self.rounds:
            model.eval()
            self.rounds[:] = [self._sample([Asked(**row) for row in inputs])]
        model.train()
        current = self.rounds[0]
        alpha = alpha_at(update, self.args.alpha_start, self.args.alpha_end, self.args.alpha_updates)
        total = torch.zeros((), device=self.args.device)
        for piece in current.pieces(self.sequences or len(current.tokens)):
            with self.compute_loss_context_manager():
                loss = -self._objective(model, piece, alpha).sum() / len(current.tokens)
            self.accelerator.backward(loss)
            total += loss.detach()
        self._note(
            {
                "reward": current.rewards.mean(),
                "frac_reward_zero_std": 1 - current.uneven.float().mean(),
                "kl": current.kl.mean(),
                "completions/clipped_ratio": 1 - current.ended.float().mean(),
            }
        )
        return total

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """The entry with the means of what was noted since the last."""
        means = {name: sum(values) / len(values) for name, values in self.noted.items()}
        self.noted.clear()
        super().log({**logs, **means}, start_time)

    def _sample(self, asked: list[Asked]) -> Round:
        with self.compute_loss_context_manager():
            return sample_round(self.accelerator.unwrap_model(self.model), self.processing_class, asked, self.grader, self.args,
                                self.state.global_step, self.sequences)  # fmt: skip

    def _objective(self, model: Any, piece: Round, alpha: float) -> torch.Tensor:
        """J of each answer of a piece, (B)."""
        teacher, student = scores(model, piece, self.pad, self.args.temperature)
        mask = piece.mask * piece.counted.unsqueeze(-1)
        shared = (teacher, student, piece.tokens, piece.sampled)
        if self.args.own:
            return own_objective(*shared, piece.student_advantages, mask, self.args.terms())
        found = torch.zeros(len(piece.tokens), device=mask.device)
        if alpha > 0:
            found = found + alpha * teacher_objective(*shared, piece.teacher_advantages, mask, self.args.terms())
        if alpha < 1:
            found = found + (1 - alpha) * student_objective(*shared, piece.student_advantages, mask, self.args.terms())
        return found

    def _note(self, values: Mapping[str, torch.Tensor]) -> None:
        for name, value in values.items():
            self.noted.setdefault(name, []).append(float(self.accelerator.gather(value.detach().float()).mean()))


def _texts(row: Mapping[str, Any], privileged: str, tokenizer: Any) -> dict[str, str]:
    """As `prompt` what the teacher is asked, as `asked` what the student is, and the row itself."""
    shown = privileged.replace(SLOT, row["privileged"]) + row["prompt"]
    asked = rendered(row, (), tokenizer)["prompt"]
    return {"prompt": rendered({"prompt": shown}, (), tokenizer)["prompt"], "asked": asked, "row": json.dumps(row)}
