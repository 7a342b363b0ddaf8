"""Group relative policy optimisation (Shao et al. 2024, arXiv 2402.03300) by TRL's GRPOTrainer, against a verifier.

The reward is the runtime's own grader, or with `by_row` that of each row: 1 for an answer that is right and that the model
itself ended, else 0.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from transformers import Trainer
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from runtime.errors import JobError
from runtime.graders import grade_many
from runtime.graders.selftest import check_grader
from runtime.train.data import fitting, rendered, whole_batches
from runtime.train.setup import Setup


def trainer(setup: Setup) -> Trainer:
    """A trainer over rows of `{"prompt", "answer", …}`: `batch_size` prompts and their groups of samples make one update."""
    recipe = setup.recipe
    if recipe.grader is None:
        raise JobError("the train config lacks grader; GRPO needs one to reward answers")
    check_grader(recipe.grader, setup.rows)
    texts = [{**rendered(row, (), setup.tokenizer), "row": json.dumps(row)} for row in setup.rows]
    kept = fitting(texts, (), setup.tokenizer, recipe)
    return GRPOTrainer(
        model=setup.model,
        reward_funcs=Verifier(recipe.grader, setup.tokenizer.eos_token_id),
        args=setup.trl_config(GRPOConfig, recipe.batch_size * recipe.args["num_generations"]),
        train_dataset=Dataset.from_list(whole_batches(kept, recipe.batch_size)),
        processing_class=setup.tokenizer,
        peft_config=setup.peft_config(),
        callbacks=[setup.watch],
    )


class Verifier:
    """The reward as TRL calls it: a batch of completions in, one number each out. Programs of a batch share one sandbox."""

    def __init__(self, grader: str, end_token: int) -> None:
        self.grader = grader
        self.end_token = end_token
        self.__name__ = f"verify_{grader}"

    def __call__(
        self, completions: Sequence[str], completion_ids: Sequence[Sequence[int]], row: Sequence[str], **_: Any
    ) -> list[float | None]:
        """1.0 for each completion that ends with the end token and that the grader accepts, else 0.0."""
        right = grade_many(self.grader, [json.loads(text) for text in row], [text.strip() for text in completions])
        ended = [bool(ids) and ids[-1] == self.end_token for ids in completion_ids]
        return [float(is_right and is_ended) for is_right, is_ended in zip(right, ended, strict=True)]
