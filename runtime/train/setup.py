"""What every algorithm's `trainer(setup)` is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import LoraConfig
from transformers import Trainer

from runtime.train.adapter import peft_config
from runtime.train.recipe import Recipe, trl_config
from runtime.train.watch import Watch


@dataclass(frozen=True)
class Setup:
    """The recipe, the start model with its tokenizer, the artifact's rows, the folder for checkpoints, and the watch.

    `teacher` is the checkpoint of another model to learn from, where the job has one.
    """

    recipe: Recipe
    model: Any
    tokenizer: Any
    rows: Sequence[Mapping[str, Any]]
    scratch: Path
    watch: Watch
    teacher: Path | None = None

    def peft_config(self) -> LoraConfig | None:
        """The adapter to be trained; None where all weights are."""
        return peft_config(self.recipe.adapter, self.model)

    def trl_config(self, config_class: type[Any], examples: int) -> Any:
        """TRL's config object for this recipe; `examples` rows pass through the model for one update."""
        name = self.watch.job.id.split("/", 1)[-1]
        return trl_config(config_class, self.recipe, self.scratch, name, examples)


MakeTrainer = Callable[[Setup], Trainer]
