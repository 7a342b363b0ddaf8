"""Self-distillation fine-tuning (Shenfeld et al. 2026, arXiv 2601.19897) by TRL's SDFTTrainer.

The student answers a question; the teacher, the same model (its start, its moving average, or itself), reads the question
with a demonstration beside it. At each token y_t of the student's answer to x the loss is

    KL(student(. | x, y_<t) || teacher(. | x, demonstration, y_<t)),

the paper's equation 1, over the whole vocabulary or from the sampled token; or one of the divergences that TRL has beside it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from accelerate.utils import set_seed
from datasets import Dataset
from transformers import Trainer
from trl.import_utils import TRLExperimentalWarning

from runtime.errors import JobError
from runtime.train.average import AverageKeeper
from runtime.train.data import fitting, rendered, whole_batches
from runtime.train.setup import Setup

with warnings.catch_warnings():  # its version is pinned
    warnings.simplefilter("ignore", TRLExperimentalWarning)
    from trl.experimental.sdft.sdft_config import SDFTConfig
    from trl.experimental.sdft.sdft_trainer import DemonstrationTeacherContextBuilder, SDFTTrainer

SLOT = "{privileged}"


def trainer(setup: Setup) -> Trainer:
    """A trainer over rows of `{"prompt", "privileged"}`; `batch_size` prompts make one update.

    What is limited is the teacher's prompt, which is the longer one.
    """
    recipe = setup.recipe
    if recipe.demonstration is None or SLOT not in recipe.demonstration:
        raise JobError(f"the train config's demonstration must hold {SLOT}, the place of what only the teacher sees")
    kept = fitting([_texts(row, recipe.demonstration, setup.tokenizer) for row in setup.rows], (), setup.tokenizer, recipe)
    rows = [{"prompt": row["asked"], "privileged_context": row["prompt"]} for row in whole_batches(kept, recipe.batch_size)]
    args: SDFTConfig = setup.trl_config(SDFTConfig, recipe.batch_size * recipe.args["num_generations"])
    made = SDFTTrainer(
        model=setup.model,
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=setup.tokenizer,
        peft_config=setup.peft_config(),
        callbacks=[setup.watch],
    )
    made.teacher_context_builder = WholePrompts(made)
    if args.teacher_model_kind == "ema":
        made.add_callback(AverageKeeper(setup.scratch, made.teacher_model))
    set_seed(recipe.seed, device_specific=True)  # else all processes would draw the same numbers for their answers
    return made


class WholePrompts(DemonstrationTeacherContextBuilder):
    """The teacher's prompts as they stand in the rows: TRL itself would put the demonstration behind the rendered prompt."""

    def _compose_teacher_prompt(self, prompt: str, privileged_context: str) -> str:
        return privileged_context


def _texts(row: Mapping[str, Any], demonstration: str, tokenizer: Any) -> dict[str, str]:
    """What the student is `asked`, and as `prompt` what the teacher is."""
    shown = row["prompt"] + demonstration.replace(SLOT, row["privileged"])
    asked = rendered(row, (), tokenizer)["prompt"]
    return {"prompt": rendered({"prompt": shown}, (), tokenizer)["prompt"], "asked": asked}
