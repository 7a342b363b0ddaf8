"""On-policy distillation (Agarwal et al. 2023, arXiv 2306.13649) by TRL's DistillationTrainer.

The student answers prompts, and learns at each token of its own answers the distribution that a teacher, another and usually
larger model of the same vocabulary, has there. With d = `beta` the divergence is KL(T||S) for 0, KL(S||T) for 1, and between
them d KL(T||M) + (1 - d) KL(S||M), where M = d T + (1 - d) S.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, Trainer
from trl.trainer.distillation_config import DistillationConfig
from trl.trainer.distillation_trainer import DistillationTrainer

from runtime.errors import JobError
from runtime.models import load_tokenizer
from runtime.train.data import fitting, rendered, whole_batches
from runtime.train.setup import Setup


def trainer(setup: Setup) -> Trainer:
    """A trainer over rows of `{"prompt", …}`; `batch_size` prompts, each answered once, make one update."""
    recipe = setup.recipe
    kept = fitting([rendered(row, (), setup.tokenizer) for row in setup.rows], (), setup.tokenizer, recipe)
    return DistillationTrainer(
        model=setup.model,
        teacher_model=_teacher(setup.teacher, recipe.teacher_dtype, setup.tokenizer),
        args=setup.trl_config(DistillationConfig, recipe.batch_size),
        train_dataset=Dataset.from_list(whole_batches(kept, recipe.batch_size)),
        processing_class=setup.tokenizer,
        peft_config=setup.peft_config(),
        callbacks=[setup.watch],
    )


def _teacher(folder: Path | None, dtype: str | None, tokenizer: Any) -> Any:
    """The teacher's model. Raises JobError without one, and for one that reads text by another vocabulary.

    TRL compares how many symbols there are and not which, and so would teach nonsense.
    """
    if folder is None or dtype is None:
        raise JobError(
            "distillation needs the input `teacher` and the config's teacher_dtype; name a teacher in the method's stage"
        )
    own, other = tokenizer.get_vocab(), load_tokenizer(folder).get_vocab()
    if own != other:
        odd = next(iter(sorted(own.items() ^ other.items())))[0]
        raise JobError(
            f"{folder}: this teacher and the student do not have the same vocabulary ({odd!r}, say); take one of its family"
        )
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    return model.requires_grad_(False).eval()
