"""Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290) by TRL's DPOTrainer, against the start itself."""

from __future__ import annotations

import copy

from datasets import Dataset
from transformers import Trainer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from runtime.train.data import fitting, rendered, whole_batches
from runtime.train.setup import Setup

ANSWERS = ("chosen", "rejected")


def trainer(setup: Setup) -> Trainer:
    """A trainer over rows of `{"prompt", "chosen", "rejected"}`; its reference is a frozen copy of the start.

    With an adapter, that is the model with the adapter off.
    """
    recipe = setup.recipe
    texts = [rendered(row, ANSWERS, setup.tokenizer) for row in setup.rows]
    kept = fitting(texts, ANSWERS, setup.tokenizer, recipe)
    return DPOTrainer(
        model=setup.model,
        ref_model=copy.deepcopy(setup.model) if recipe.adapter is None else None,
        args=setup.trl_config(DPOConfig, recipe.batch_size),
        train_dataset=Dataset.from_list(whole_batches(kept, recipe.batch_size)),
        processing_class=setup.tokenizer,
        peft_config=setup.peft_config(),
        callbacks=[setup.watch],
    )
