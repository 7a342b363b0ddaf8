"""Which loss of `train/losses/` belongs to which algorithm, what it reads, and what it asks of the start.

A micro-batch is a mapping of the parts `forget`, `retain` and `alternate` to padded sequences, with the start's sums of them in
`known` where they are precomputed. Each of its losses is reduced over the micro-batch alone, and an update is the mean of its
micro-batches, as published: rows in a short micro-batch weigh as much as others, tokens of one with few tokens more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from runtime.errors import JobError
from runtime.train.losses import alternate_dpo, ceu, grad_ascent, npo, pdu, rmu, satimp, simnpo, undial, wga
from runtime.train.losses.retain import kl_answers, kl_everywhere
from runtime.train.losses.sequences import lengths, sequence_means, sequence_sums, token_mean
from runtime.train.unlearn.hidden import outputs_of
from runtime.train.unlearn.reference import Start, logits_of
from runtime.train.unlearn.settings import Settings

Inputs = Mapping[str, Any]


@dataclass(frozen=True)
class Passes:
    """The forward passes of one micro-batch: of the model, and of its start where there is one.

    `module` and `direction` are the steered module's name and its control vector, for RMU alone.
    """

    model: Any
    bare: Any
    inputs: Inputs
    settings: Settings
    start: Start | None = None
    module: str | None = None
    direction: torch.Tensor | None = None

    def labels(self, part: str) -> torch.Tensor:
        """The labels of a part, (B, T)."""
        found: torch.Tensor = self.inputs[part]["labels"]
        return found

    def logits(self, part: str) -> torch.Tensor:
        """The model's logits of a part, (B, T, V)."""
        return logits_of(self.model, self.inputs[part])

    def start_logits(self, part: str) -> torch.Tensor:
        """The start's."""
        with self._start().held() as start:
            return logits_of(start, self.inputs[part])

    def sums(self, part: str) -> torch.Tensor:
        """The model's sums of -log p of a part's sequences, (B)."""
        return sequence_sums(self.logits(part), self.labels(part))

    def start_sums(self, part: str) -> torch.Tensor:
        """The start's, looked up or made now."""
        if "known" in self.inputs:
            known: torch.Tensor = self.inputs["known"][part]
            return known
        return sequence_sums(self.start_logits(part), self.labels(part))

    def hidden(self, part: str) -> torch.Tensor:
        """What the steered module gives out on a part, (B, T, d)."""
        return outputs_of(self.model, self.bare, self._module(), self.inputs[part])

    def start_hidden(self, part: str) -> torch.Tensor:
        """The same in the start."""
        with self._start().held() as start:
            return outputs_of(start, start, self._module(), self.inputs[part])

    def _start(self) -> Start:
        if self.start is None:
            raise RuntimeError(f"{self.settings.algorithm} was given no start to compare with")
        return self.start

    def _module(self) -> str:
        if self.module is None:
            raise RuntimeError(f"{self.settings.algorithm} was given no module")
        return self.module


@dataclass(frozen=True)
class Objective:
    """The loss on a forget micro-batch, and what it takes: a retain term, alternates, the start's "sums" or "whole" output."""

    forget: Callable[[Passes], torch.Tensor]
    retains: bool = True
    alternates: bool = False
    start: str | None = None


def _nll(passes: Passes) -> torch.Tensor:
    return token_mean(passes.logits("forget"), passes.labels("forget"))


def _mean_of_rows(passes: Passes) -> torch.Tensor:
    return sequence_means(passes.logits("forget"), passes.labels("forget")).mean()


def _grad_ascent(passes: Passes) -> torch.Tensor:
    return grad_ascent.forget_loss(passes.logits("forget"), passes.labels("forget"))


def _npo(passes: Passes) -> torch.Tensor:
    return npo.forget_loss(passes.sums("forget"), passes.start_sums("forget"), passes.settings["beta"])


def _simnpo(passes: Passes) -> torch.Tensor:
    means = passes.sums("forget") / lengths(passes.labels("forget")).clamp(min=1)
    return simnpo.forget_loss(means, passes.settings["beta"], passes.settings["delta"])


def _alternate_dpo(passes: Passes) -> torch.Tensor:
    answer = passes.sums("forget"), passes.start_sums("forget")
    other = passes.sums("alternate"), passes.start_sums("alternate")
    return alternate_dpo.forget_loss(*answer, *other, passes.settings["beta"], passes.settings["factor"])


def _rmu(passes: Passes) -> torch.Tensor:
    hidden = passes.hidden("forget")
    if passes.direction is None:
        raise RuntimeError("rmu was given no control vector")
    return rmu.distance(hidden, passes.direction.to(hidden), passes.labels("forget"), passes.settings["normalisation"])


def _undial(passes: Passes) -> torch.Tensor:
    settings = passes.settings
    both = passes.logits("forget"), passes.start_logits("forget")
    return undial.forget_loss(*both, passes.labels("forget"), settings["beta"], settings["positions"])


def _ceu(passes: Passes) -> torch.Tensor:
    return ceu.forget_loss(passes.logits("forget"), passes.labels("forget"), passes.settings["ignored_tokens"])


def _wga(passes: Passes) -> torch.Tensor:
    return wga.forget_loss(passes.logits("forget"), passes.labels("forget"), passes.settings["beta"])


def _satimp(passes: Passes) -> torch.Tensor:
    settings = passes.settings
    return satimp.forget_loss(passes.logits("forget"), passes.labels("forget"), settings["beta1"], settings["beta2"])


def _pdu(passes: Passes) -> torch.Tensor:
    return pdu.forget_loss(passes.logits("forget"), passes.labels("forget"), passes.settings["positions"])


OBJECTIVES: Mapping[str, Objective] = {
    "finetune": Objective(_nll, retains=False),
    "recorded_sgd": Objective(_mean_of_rows, retains=False),
    "grad_ascent": Objective(_grad_ascent, retains=False),
    "grad_diff": Objective(_grad_ascent),
    "npo": Objective(_npo, start="sums"),
    "simnpo": Objective(_simnpo),
    "alternate_dpo": Objective(_alternate_dpo, alternates=True, start="sums"),
    "rmu": Objective(_rmu),
    "undial": Objective(_undial, start="whole"),
    "ceu": Objective(_ceu, retains=False),
    "wga": Objective(_wga),
    "satimp": Objective(_satimp),
    "pdu": Objective(_pdu),
}


def retain_loss(passes: Passes) -> torch.Tensor:
    """The loss on a retain micro-batch, by its name in the settings."""
    name, labels = passes.settings.retain_loss, passes.labels("retain")
    if name == "nll":
        return token_mean(passes.logits("retain"), labels)
    if name == "kl":
        return kl_everywhere(passes.start_logits("retain"), passes.logits("retain"))
    if name == "kl_answer":
        return kl_answers(passes.start_logits("retain"), passes.logits("retain"), labels)
    return rmu.distance(passes.hidden("retain"), passes.start_hidden("retain"), labels, passes.settings["normalisation"])


def retains(settings: Settings) -> bool:
    """Whether there is a retain term: with a weight of 0 there is none, unless the weight is one that changes."""
    if not OBJECTIVES[settings.algorithm].retains:
        return False
    return settings.algorithm == "pdu" or settings["alpha"] > 0


def asked_of_start(settings: Settings) -> str | None:
    """What the objective needs of the start: its "whole" output, "sums" over sequences, or nothing."""
    if retains(settings) and settings.retain_loss != "nll":
        return "whole"
    return OBJECTIVES[settings.algorithm].start


def precomputes(settings: Settings) -> bool:
    """Whether the start's sums are computed before the first step. Raises JobError where that is asked for and not enough."""
    asked = asked_of_start(settings)
    if settings.reference == "precomputed" and asked != "sums":
        why = "asks nothing of the start" if asked is None else "needs more of the start than sums over sequences"
        raise JobError(f"execution.reference: {settings.algorithm} with these settings {why}, so nothing can be precomputed")
    return asked == "sums" and settings.reference != "model"
