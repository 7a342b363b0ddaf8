"""transformers' Trainer for every objective of unlearning, and for fine-tuning with the same rows, labels and order.

An update is `batch_size` visits, in micro-batches whose losses are averaged. The loss of a visit's rows is
gamma L_forget + alpha L_retain where the objective has a retain term (`losses/grad_diff.py`), else L_forget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft import get_peft_model
from transformers import Trainer, TrainingArguments
from trl.models.utils import prepare_fsdp

from runtime.errors import JobError
from runtime.prompts import Tokens
from runtime.sampling import item_seed
from runtime.train.losses.grad_diff import weighted
from runtime.train.losses.rmu import control_vector
from runtime.train.setup import Setup
from runtime.train.unlearn import hidden
from runtime.train.unlearn.data import Wanted, read_sets
from runtime.train.unlearn.dual import Dual, DualKeeper, dual_of
from runtime.train.unlearn.objectives import OBJECTIVES, Inputs, Passes, asked_of_start, precomputes, retain_loss, retains
from runtime.train.unlearn.pairing import Draws, Pairs, Sets, Visits
from runtime.train.unlearn.record import Recorder
from runtime.train.unlearn.reference import Start, known_sums, start_of
from runtime.train.unlearn.sequences import pad_token, padded
from runtime.train.unlearn.settings import RECORDED, Settings, Unlearning

LEAST_VOCABULARY = 100  # what UNDIAL's positions need where no label stands


def trainer(setup: Setup) -> Trainer:
    """A trainer over the rows of a dataset.unlearning, or of a dataset.sft for what learns them."""
    recipe = setup.recipe
    if not isinstance(recipe, Unlearning):
        raise JobError(f"{recipe.algorithm} reads a config of its own form; compile the study again")
    settings = recipe.settings
    _check(settings, setup.model)
    wanted = Wanted(retains(settings), OBJECTIVES[settings.algorithm].alternates)
    sets = read_sets(setup.watch.job.inputs["data"].path, setup.rows, settings, setup.tokenizer, wanted)
    whole = replace(setup, recipe=_warmed(recipe, len(sets.forget)))
    args = whole.trl_config(TrainingArguments, recipe.batch_size)
    _check_rows(len(sets.forget), recipe, args)
    if settings.algorithm == RECORDED:
        _check_recorded(setup.model, sets.forget, recipe)
    adapter = setup.peft_config()
    model = setup.model if adapter is None else get_peft_model(setup.model, adapter)
    steering = _steering(model, recipe) if settings.algorithm == "rmu" else None
    precomputed = precomputes(settings)
    start = start_of(model) if asked_of_start(settings) is not None and not precomputed else None
    made = UnlearnTrainer(
        recipe, sets, start, steering, pad_token(setup.tokenizer),
        model=model, args=args, processing_class=setup.tokenizer, callbacks=[setup.watch],
    )  # fmt: skip
    if precomputed:
        made.know_start()
    if made.dual is not None:
        made.add_callback(
            DualKeeper(setup.scratch, made.dual, made.steps_an_epoch, made.mean_of_all, made.retain_loss_of_epoch)
        )
    if settings.algorithm == RECORDED:
        made.add_callback(Recorder(setup.watch.job.out, setup.rows, made.rows_of))
    return made


@dataclass(frozen=True)
class Steering:
    """RMU's module and the direction that its output is drawn to."""

    module: str
    direction: torch.Tensor


class Collator:
    """Pads each part of some visits' sequences; `known` are the start's sums, where they were computed before."""

    def __init__(self, pad: int) -> None:
        self.pad = pad
        self.known: Mapping[Tokens, float] = {}

    def __call__(self, visits: Sequence[Mapping[str, Tokens]]) -> dict[str, Any]:
        parts: dict[str, Any] = {name: padded([visit[name] for visit in visits], self.pad) for name in visits[0]}
        if self.known:
            compared = [name for name in visits[0] if name != "retain"]
            parts["known"] = {name: torch.tensor([self.known[visit[name]] for visit in visits]) for name in compared}
        return parts


class UnlearnTrainer(Trainer):
    """Trains by the objective of `recipe` on `sets`. `dual` is PDU's variable."""

    def __init__(
        self, recipe: Unlearning, sets: Sets, start: Start | None, steering: Steering | None, pad: int, **given: Any
    ) -> None:  # fmt: skip
        self.settings = recipe.settings
        self.visits = Visits(len(sets.forget), recipe.batch_size, recipe.seed, self._epochs_done)
        self.steps_an_epoch = max(1, len(self.visits) // recipe.batch_size)
        self.pairs = Pairs(sets, Draws(sets.pairing, (sets.seed, recipe.seed), len(self.visits)))
        self.collate = Collator(pad)
        self.steering = steering
        self.dual: Dual | None = dual_of(self.settings) if self.settings.algorithm == "pdu" else None
        self.noted: dict[str, list[torch.Tensor]] = {}
        super().__init__(train_dataset=self.pairs, data_collator=self.collate, **given)
        self.model_accepts_loss_kwargs = False  # else losses would be divided by the tokens of an update, not averaged
        self.start = start and self._placed(start)

    def compute_loss(
        self, model: Any, inputs: Inputs, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The loss of one micro-batch. PDU's dual variable changes with it."""
        passes = self._passes(model, inputs)
        forget = OBJECTIVES[self.settings.algorithm].forget(passes)
        if self.settings.retain_loss is None:
            return forget
        self._note("forget_loss", forget)
        if "retain" not in inputs:
            return float(self.settings["gamma"]) * forget
        retain = retain_loss(passes)
        self._note("retain_loss", retain)
        if self.dual is None:
            return weighted(forget, retain, self.settings["gamma"], self.settings["alpha"])
        loss = weighted(forget, retain - self.dual.bound, self.settings["gamma"], self.dual.value)
        self._note("dual", retain.new_tensor(self.dual.value))
        self.dual.seen(float(retain.detach()), self._epochs_done())
        return loss

    def know_start(self) -> None:
        """Compute the start's sums of all that the training will see. Only before the first step is the model the start."""
        pairs = [self.pairs[visit] for epoch in range(self._epochs()) for visit in self.visits.of_epoch(epoch)]
        seen = [one for pair in pairs for name, one in pair.items() if name != "retain"]
        model: Any = self.model
        model = model.to(self.args.device)
        with self.accelerator.autocast():
            self.collate.known = known_sums(
                model, seen, self.args.per_device_train_batch_size, self.collate.pad, self._prepare_inputs
            )

    def rows_of(self, step: int) -> list[int]:
        """The numbers of the rows that an update sees, the first update being 0."""
        epoch, place = divmod(step, self.steps_an_epoch)
        size = len(self.visits) // self.steps_an_epoch
        return [visit.row for visit in self.visits.of_epoch(epoch)[place * size : (place + 1) * size]]

    def retain_loss_of_epoch(self, epoch: int) -> float:
        """The mean over all micro-batches of an epoch, of all processes, by the model as it is now."""
        visits, size = self.visits.of_epoch(epoch), self.args.per_device_train_batch_size
        batches = [visits[at : at + size] for at in range(0, len(visits), size)]
        model, found = self.model_wrapped, []
        model.eval()
        with torch.no_grad():
            for batch in batches[self.args.process_index :: self.args.world_size]:
                inputs = self._prepare_inputs(self.collate([self.pairs[visit] for visit in batch]))
                found.append(float(retain_loss(self._passes(model, inputs))))
        model.train()
        return self.mean_of_all(sum(found) / len(found))

    def mean_of_all(self, value: float) -> float:
        """The mean over all processes."""
        return float(self.accelerator.gather(torch.tensor([value], dtype=torch.float64, device=self.args.device)).mean())

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """The entry with the means of what was noted since the last."""
        means = {name: self.mean_of_all(float(torch.stack(values).mean())) for name, values in self.noted.items()}
        self.noted.clear()
        super().log({**logs, **means}, start_time)

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: there may be several passes of several models a micro-batch."""
        return 0

    def _get_train_sampler(self, train_dataset: Any = None) -> Visits:
        return self.visits

    def _passes(self, model: Any, inputs: Inputs) -> Passes:
        steering = self.steering
        return Passes(
            model=model,
            bare=self.accelerator.unwrap_model(model),
            inputs=inputs,
            settings=self.settings,
            start=self.start,
            module=steering.module if steering else None,
            direction=steering.direction.to(self.args.device) if steering else None,
        )

    def _placed(self, start: Start) -> Start:
        """The start on this process's device, or divided as the model is."""
        if start.adapter_off:
            return replace(start, precision=self.accelerator.autocast)
        model = prepare_fsdp(start.model, self.accelerator) if self.is_fsdp_enabled else start.model.to(self.args.device)
        return replace(start, model=model, precision=self.accelerator.autocast)

    def _epochs(self) -> int:
        """How many epochs the training goes through, the last perhaps in part."""
        steps = self.args.max_steps
        return -(-steps // self.steps_an_epoch) if steps > 0 else int(self.args.num_train_epochs)

    def _epochs_done(self) -> int:
        return int(self.state.global_step) // self.steps_an_epoch

    def _note(self, name: str, value: torch.Tensor) -> None:
        self.noted.setdefault(name, []).append(value.detach().float())


def _check(settings: Settings, model: Any) -> None:
    if settings.algorithm == "undial" and settings["positions"] == "all" and model.config.vocab_size < LEAST_VOCABULARY:
        raise JobError(f"positions: all lowers the 100th token from the end, and the model has {model.config.vocab_size}")


def _check_rows(rows: int, recipe: Unlearning, args: TrainingArguments) -> None:
    """Fewer rows than a batch are one update; several processes must have equal parts of it, or some rows would come twice."""
    at_once = args.per_device_train_batch_size * args.world_size
    if rows < recipe.batch_size and args.world_size > 1 and rows % at_once:
        raise JobError(
            f"{rows} rows are fewer than one batch of {recipe.batch_size}, and cannot be cut into {args.world_size} "
            f"processes x micro-batches of {args.per_device_train_batch_size}; make batch_size smaller, or use one device"
        )


def _check_recorded(model: Any, rows: Sequence[Tokens], recipe: Unlearning) -> None:
    """What a correction could not compute again: a batch cut short, a model that drops units at random; and rows too long."""
    if len(rows) < recipe.batch_size:
        raise JobError(f"{len(rows)} rows are fewer than one batch of {recipe.batch_size}; make batch_size smaller")
    longest = max(len(row.ids) for row in rows)
    if longest > recipe.longest:
        raise JobError(f"max_length: a row has {longest} tokens, and {recipe.longest} are the most; make max_length larger")
    values = model.config.to_dict()
    dropped = [name for name in values if ("dropout" in name or "pdrop" in name) and values[name]]
    if dropped:
        raise JobError(
            f"the model drops units at random ({dropped[0]}: {values[dropped[0]]}), so that no step could be computed again; "
            "set it to 0 in its config.json"
        )


def _warmed(recipe: Unlearning, rows: int) -> Unlearning:
    """The recipe with the warm-up in whole steps, rounded down, as open-unlearning counts them."""
    steps = int(recipe.settings.warmup_epochs * rows / recipe.batch_size)
    return replace(recipe, args={**recipe.args, "warmup_steps": steps})


def _steering(model: Any, recipe: Unlearning) -> Steering:
    """RMU's module and direction; the model is left with those parameters to train that are named and that matter."""
    settings = recipe.settings
    module = hidden.find_module(model, settings["module_regex"])
    hidden.train_only(model, settings["trainable_regex"])
    if not retains(settings) or settings.retain_loss == "embed_diff":
        hidden.drop_unreached(model, module)
    seed = item_seed(recipe.seed, "control vector")
    return Steering(module, control_vector(hidden.width_of(model), settings["steering_coeff"], seed))
