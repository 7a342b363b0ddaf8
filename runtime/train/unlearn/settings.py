"""An unlearning job's config, checked, as a `Recipe`. What each value means stands in templates/backends/native/*.schema.json.

The recipe's `args` are transformers' own arguments by their names; what else the objective and its data need is `Settings`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from runtime.errors import JobError
from runtime.train.adapter import Adapter
from runtime.train.recipe import Execution, Recipe, parse_adapter, parse_execution, require_known

PLAIN = frozenset({"lr", "schedule", "warmup_epochs", "epochs", "steps", "batch_size", "max_length", "seed"})
COMMON = PLAIN | {
    "weight_decay", "optimizer", "adam_beta1", "adam_beta2", "adam_epsilon", "grad_clip", "text", "precision",
}  # fmt: skip
RECORDED = "recorded_sgd"
LEARNING = ("finetune", RECORDED)  # what reads a dataset.sft, and unlearns nothing
WEIGHTED = frozenset({"gamma", "alpha", "retain_loss"})
OWN: Mapping[str, frozenset[str]] = {
    "finetune": frozenset(),
    RECORDED: frozenset(),
    "grad_ascent": frozenset(),
    "grad_diff": WEIGHTED,
    "npo": WEIGHTED | {"beta"},
    "simnpo": WEIGHTED | {"beta", "delta"},
    "alternate_dpo": WEIGHTED | {"beta", "factor"},
    "rmu": WEIGHTED | {"steering_coeff", "module_regex", "trainable_regex", "normalisation"},
    "undial": WEIGHTED | {"beta", "positions"},
    "ceu": frozenset({"ignored_tokens"}),
    "wga": WEIGHTED | {"beta"},
    "satimp": WEIGHTED | {"beta1", "beta2"},
    "pdu": WEIGHTED | {"retain_loss_eps", "primal_dual", "dual_step_size", "dual_update", "dual_warmup_epochs", "positions"},
}
BESIDE = frozenset({"backend", "algorithm", "adapter", "execution"})
RETAIN_LOSSES = ("nll", "kl", "kl_answer")
CHOICES: Mapping[str, tuple[str, ...]] = {
    "schedule": ("constant", "linear", "cosine"),
    "optimizer": ("adamw_torch", "paged_adamw_32bit"),
    "text": ("answers", "pieces"),
    "precision": ("fp32", "bf16_mixed", "bf16"),
    "factor": ("two_over_beta", "one"),
    "normalisation": ("product_of_means", "mean_per_row"),
    "dual_update": ("micro_batch", "step", "epoch"),
}
POSITIONS = {"undial": ("all", "answer"), "pdu": ("unshifted", "shifted")}
REFERENCES = ("model", "precomputed")


@dataclass(frozen=True)
class Settings:
    """What decides an objective, by its config's own names (`own`), and how its rows are read.

    `reference` says how the start's likelihoods come to be known: by the "model", "precomputed" before the first step, or
    (None) precomputed wherever sums over sequences are all that is asked of it.
    """

    algorithm: str
    own: Mapping[str, Any]
    text: str
    max_length: int
    warmup_epochs: float
    reference: str | None = None

    def __getitem__(self, name: str) -> Any:
        return self.own[name]

    @property
    def retain_loss(self) -> str | None:
        """The loss on the retain set; None for an objective without."""
        found: str | None = self.own.get("retain_loss")
        return found


@dataclass(frozen=True)
class Unlearning(Recipe):
    """A recipe with the objective's own settings."""

    settings: Settings = field(kw_only=True)


def parse_unlearning(config: Mapping[str, Any]) -> Unlearning:
    """Read the config of a job of one of `OWN`'s algorithms. Raises JobError that names the key at fault."""
    algorithm = str(config["algorithm"])
    asked = _asked(algorithm)
    require_known(config, asked | BESIDE, f"the config of {algorithm}")
    missing = sorted(asked - set(config))
    if missing:
        raise JobError(f"the config of {algorithm} lacks {', '.join(missing)}; its schema says what each is")
    _check_choices(config, algorithm)
    if (config["epochs"] is None) == (config["steps"] is None):
        raise JobError("training ends after so many epochs or after so many steps; give one and set the other to null")
    execution = dict(config.get("execution") or {})
    reference = execution.pop("reference", None)
    if reference is not None:
        _require_one_of("execution.reference", reference, REFERENCES)
    return _recipe(config, parse_adapter(config.get("adapter")), parse_execution(execution), reference)


def _recipe(config: Mapping[str, Any], adapter: Adapter | None, execution: Execution, reference: str | None) -> Unlearning:
    algorithm = str(config["algorithm"])
    own = {name: config[name] for name in OWN[algorithm]}
    return Unlearning(
        algorithm=algorithm,
        args=_arguments(config),
        batch_size=config["batch_size"],
        model_dtype="bfloat16" if config.get("precision") == "bf16" else "float32",
        longest=config["max_length"],
        overlong="error",
        seed=config["seed"],
        grader=None,
        must_steps=None,
        adapter=adapter,
        execution=execution,
        settings=Settings(
            algorithm, own, config.get("text", "answers"), config["max_length"], float(config["warmup_epochs"]), reference
        ),
    )


def _arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of transformers' arguments that the config decides; how long the warm-up is, only the rows can tell."""
    ends = {"max_steps": config["steps"]} if config["epochs"] is None else {"num_train_epochs": config["epochs"]}
    return {
        **ends,
        **(_plain_sgd() if config["algorithm"] == RECORDED else _adam(config)),
        "learning_rate": config["lr"],
        "lr_scheduler_type": "constant_with_warmup" if config["schedule"] == "constant" else config["schedule"],
        "fp16": False,
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "gradient_checkpointing_kwargs": {"use_reentrant": False},  # hidden states that are caught must have gradients
    }


def _plain_sgd() -> dict[str, Any]:
    """Nothing but theta - lr g, in float32: no momentum, decay or clipping, which no record of updates could tell apart."""
    return {"optim": "sgd", "weight_decay": 0.0, "max_grad_norm": 0.0, "bf16": False}


def _adam(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "weight_decay": config["weight_decay"],
        "optim": optimizer(config["optimizer"], config["precision"]),
        "adam_beta1": config["adam_beta1"],
        "adam_beta2": config["adam_beta2"],
        "adam_epsilon": config["adam_epsilon"],
        "max_grad_norm": config["grad_clip"],
        "bf16": config["precision"] != "fp32",
    }


def optimizer(name: str, precision: str) -> str:
    """The optimizer there is here. Paged AdamW needs bitsandbytes and a GPU; where they are missing PyTorch's takes its place.

    Its 32-bit moments make the same updates as PyTorch's AdamW of float32 weights; paging only says where they lie. Moments of
    bfloat16 weights would be in bfloat16 with PyTorch's, so there it is refused: JobError.
    """
    if name != "paged_adamw_32bit" or (torch.cuda.is_available() and importlib.util.find_spec("bitsandbytes")):
        return name
    if precision == "bf16":
        raise JobError(
            "optimizer: paged_adamw_32bit needs bitsandbytes and a GPU, and adamw_torch would hold the moments of bfloat16 "
            "weights in bfloat16: install bitsandbytes, take precision bf16_mixed, or say adamw_torch"
        )
    print("no bitsandbytes with a GPU: adamw_torch takes the place of paged_adamw_32bit (the same 32-bit updates)", flush=True)
    return "adamw_torch"


def _asked(algorithm: str) -> frozenset[str]:
    """The settings that an algorithm has."""
    return PLAIN if algorithm == RECORDED else COMMON | OWN[algorithm]


def _check_choices(config: Mapping[str, Any], algorithm: str) -> None:
    """What has no number has one of a few names; those that the losses know are checked here, before a model is loaded."""
    given = _asked(algorithm)
    for name in sorted(given & set(CHOICES)):
        _require_one_of(name, config[name], CHOICES[name])
    if "positions" in given:
        _require_one_of("positions", config["positions"], POSITIONS[algorithm])
    if "retain_loss" in given:
        _require_one_of("retain_loss", config["retain_loss"], RETAIN_LOSSES + ("embed_diff",) * (algorithm == "rmu"))


def _require_one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise JobError(f"{name}: there is no {value!r}; there are {', '.join(known)}")
