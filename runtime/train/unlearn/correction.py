"""LMCleaner's correction: what weights would be without some rows, from the record of their training by plain SGD.

Let theta_t be the weights before step t, theta'_t those of the same training without the rows to forget, and
delta_t = theta_t - theta'_t. A step that loses rows adds to it, and every step that keeps some carries it on:

    delta_{t+1} = (I - eta_t (H_t + damping I)) delta_t + r_t

H_t is the Hessian at theta_t of the loss of the rows that the step keeps. At batch level a step with a row to forget is
skipped whole: r_t = u_t, and delta goes through it as it is, since the other training makes no such step. At sample level it
loses those rows alone: r_t = -(eta_t/|S|) sum of their gradients. What is left in the end is theta_T - delta_T, which is exact
where losses are quadratic, however many steps are edited. With a window of K, what a step removed is carried through the K
steps after it, and stays as it then is; without one all that is carried is one vector, and each step costs one product.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from runtime.errors import JobError
from runtime.train.unlearn.record import Record, Update


class Losses(Protocol):
    """What a correction asks of a training's losses, at the weights that it moves (`train/unlearn/curvature.py`)."""

    weights: torch.Tensor
    products: int
    gradients: int

    def flat(self, named: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What a record has by names, as one vector."""

    def gradient(self, rows: Sequence[int], of: int) -> torch.Tensor:
        """(1/of) sum of the gradients of these rows' losses."""

    def times(self, hessian: str, rows: Sequence[int], of: int, vectors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """H v for each vector, H being the Hessian of (1/of) sum of these rows' losses, or what stands for it."""


@dataclass(frozen=True)
class Way:
    """How a correction is computed: its window (None: to the end), its Hessian, damping, level, and at which weights."""

    window: int | None
    hessian: str
    damping: float
    level: str
    historical: bool


@dataclass
class Strand:
    """A part of the correction that is still carried on, through so many steps more; None is all there are."""

    delta: torch.Tensor
    left: int | None


@dataclass
class Correction:
    """A correction on its way: the next step, what is carried, the sum of what is not any more, and what each step did.

    `forget` are the numbers of the record's rows that are to be forgotten.
    """

    losses: Losses
    record: Record
    forget: frozenset[int]
    way: Way
    step: int = field(init=False)
    first: int = field(init=False)
    last: int = field(init=False)
    strands: list[Strand] = field(default_factory=list)
    settled: torch.Tensor = field(init=False)
    course: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settled = torch.zeros_like(self.losses.weights)
        steps = len(self.record.updates)
        edited = [update.step for update in self.record.updates if self.forget.intersection(update.rows)]
        self.step = self.first = edited[0] if edited else steps
        self.last = steps if self.way.window is None or not edited else min(steps, edited[-1] + 1 + self.way.window)

    def begin(self) -> None:
        """Bring the weights from where the training ended back to the first step that is edited; say it where none is."""
        if self.first == len(self.record.updates):
            print("no update saw any of the rows to forget: the weights are right as they are", flush=True)
        if self.way.historical:
            for update in reversed(self.record.updates[self.first :]):
                self.losses.weights -= self.losses.flat(self.record.change(update.step))

    def advance(self) -> None:
        """Go through one step. Raises JobError where the correction is no finite number any more."""
        update = self.record.updates[self.step]
        gone = [row for row in update.rows if row in self.forget]
        skipped = bool(gone) and self.way.level == "batch"
        kept = [] if skipped else [row for row in update.rows if row not in self.forget]
        said: dict[str, Any] = {"step": update.step, "lr": update.lr}
        if self.strands:
            said |= self._carry(update, kept)
        change = self.losses.flat(self.record.change(update.step)) if self.way.historical or skipped else None
        if gone:
            removed = change if skipped else self._removed(update, gone)
            said |= {"forgotten": len(gone), "collateral": len(update.rows) - len(gone) if skipped else 0}
            said |= {"removed_norm": self._take_up(removed)}
        said["norm"] = float(torch.linalg.vector_norm(self.whole()))
        if not torch.isfinite(torch.tensor(said["norm"])):
            raise JobError(
                f"the correction is no finite number at step {update.step}: the training does not contract there; take a "
                "shorter window, damping, or a record of a training with a lower lr"
            )
        self.course.append(said)
        if self.way.historical and change is not None:
            self.losses.weights += change
        self.step += 1

    def whole(self) -> torch.Tensor:
        """delta as it is now."""
        return sum((strand.delta for strand in self.strands), start=self.settled.clone())

    def _carry(self, update: Update, kept: Sequence[int]) -> dict[str, float]:
        """Carry all strands through a step that keeps these rows; by what factor the one that grew most did."""
        grown: list[float] = []
        if kept:
            vectors = [strand.delta for strand in self.strands]
            products = self.losses.times(self.way.hessian, kept, len(update.rows), vectors)
            for strand, product in zip(self.strands, products, strict=True):
                carried = strand.delta - update.lr * (product + self.way.damping * strand.delta)
                before, after = (float(torch.linalg.vector_norm(one)) for one in (strand.delta, carried))
                grown += [after / before] if before else []
                strand.delta = carried
        for strand in self.strands:
            strand.left = None if strand.left is None else strand.left - 1
        self._settle()
        return {"contraction": max(grown)} if grown else {}

    def _removed(self, update: Update, gone: Sequence[int]) -> torch.Tensor:
        return -update.lr * self.losses.gradient(gone, len(update.rows))

    def _take_up(self, removed: torch.Tensor | None) -> float:
        """Begin to carry what a step removed, with the rest where that goes to the end, too; its norm."""
        if removed is None:
            raise RuntimeError("a step that is skipped has an update")
        if self.way.window is None and self.strands:
            self.strands[0].delta = self.strands[0].delta + removed
        else:
            self.strands.append(Strand(removed.clone(), self.way.window))
            self._settle()
        return float(torch.linalg.vector_norm(removed))

    def _settle(self) -> None:
        """Put aside what has come to the end of its window."""
        for strand in self.strands:
            if strand.left == 0:
                self.settled += strand.delta
        self.strands = [strand for strand in self.strands if strand.left != 0]


def walk(correction: Correction, file: Path, every: int | None, told: Callable[[int, int], bool]) -> bool:
    """Go through all steps, from where `file` says if it is there; False where `told(done, total)` wanted a stop.

    The state is written to `file` after each `every` steps and before a stop.
    """
    if file.is_file():
        _load(correction, file)
    else:
        correction.begin()
    total = correction.last - correction.first
    while correction.step < correction.last:
        correction.advance()
        done = correction.step - correction.first
        stop = told(done, total) and done < total
        if stop or (every and done % every == 0 and done < total):
            _save(correction, file)
        if stop:
            return False
    return True


def summary(correction: Correction) -> Mapping[str, Any]:
    """What became of it, in numbers. `contraction` is how much a step stretches the correction, at most and in the geometric
    mean: a lower bound of ||I - eta H||. Where it is above 1 the first order is not to be trusted."""
    course = correction.course
    edited = [said for said in course if "forgotten" in said]
    grown = torch.tensor([said["contraction"] for said in course if "contraction" in said], dtype=torch.float64)
    return {
        "steps": len(correction.record.updates),
        "edited": len(edited),
        "walked": len(course),
        "forgotten": sum(said["forgotten"] for said in edited),
        "collateral": sum(said["collateral"] for said in edited),
        "products": correction.losses.products,
        "gradients": correction.losses.gradients,
        "correction_norm": course[-1]["norm"] if course else 0.0,
        "contraction_largest": float(grown.max()) if len(grown) else None,
        "contraction_mean": float(grown.log().mean().exp()) if len(grown) else None,
    }


def _save(correction: Correction, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    strands = {f"strand.{number}": strand.delta for number, strand in enumerate(correction.strands)}
    said = {
        "step": correction.step,
        "left": [strand.left for strand in correction.strands],
        "course": correction.course,
        "products": correction.losses.products,
        "gradients": correction.losses.gradients,
    }
    part = file.with_name(f".{file.name}.part")
    held = {"weights": correction.losses.weights, "settled": correction.settled, **strands}
    save_file({name: values.cpu() for name, values in held.items()}, part, {"state": json.dumps(said)})
    part.replace(file)


def _load(correction: Correction, file: Path) -> None:
    with safe_open(file, framework="pt") as held:
        said = json.loads(held.metadata()["state"])
        found = {name: held.get_tensor(name).to(correction.settled.device) for name in held.keys()}  # noqa: SIM118
    correction.losses.weights.copy_(found["weights"])
    correction.settled = found["settled"]
    correction.strands = [Strand(found[f"strand.{number}"], left) for number, left in enumerate(said["left"])]
    correction.step, correction.course = said["step"], said["course"]
    correction.losses.products, correction.losses.gradients = said["products"], said["gradients"]
