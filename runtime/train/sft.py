"""Supervised fine-tuning on prompt and completion by TRL's SFTTrainer; the loss is taken on the completion alone."""

from __future__ import annotations

from datasets import Dataset
from transformers import Trainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from runtime.train.data import fitting, rendered, whole_batches
from runtime.train.setup import Setup

ANSWERS = ("completion",)


def trainer(setup: Setup) -> Trainer:
    """A trainer over rows of `{"prompt", "completion"}`, whole batches of them."""
    recipe = setup.recipe
    texts = [rendered(row, ANSWERS, setup.tokenizer) for row in setup.rows]
    kept = fitting(texts, ANSWERS, setup.tokenizer, recipe)
    return SFTTrainer(
        model=setup.model,
        args=setup.trl_config(SFTConfig, recipe.batch_size),
        train_dataset=Dataset.from_list(whole_batches(kept, recipe.batch_size)),
        processing_class=setup.tokenizer,
        peft_config=setup.peft_config(),
        callbacks=[setup.watch],
    )
