"""LMCleaner's correction where it is exact: losses that are quadratic, and a training that is made again without the rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from runtime.errors import JobError
from runtime.train.unlearn.correction import Correction, Way, summary, walk
from runtime.train.unlearn.record import Record, Recorder, read_record

SIZE, ROWS, BATCH, EPOCHS = 6, 12, 3, 3
BATCHES = [[(step * BATCH + place * (1 + step // 4)) % ROWS for place in range(BATCH)] for step in range(4 * EPOCHS)]
RATES = [0.3 / (1 + step) ** 0.5 for step in range(len(BATCHES))]  # no two are the same
SPREAD = torch.Generator().manual_seed(0)
SQUARES = [0.5 * one @ one.T / SIZE + 0.2 * torch.eye(SIZE) for one in torch.randn(ROWS, SIZE, SIZE, generator=SPREAD)]
CENTRES = list(torch.randn(ROWS, SIZE, generator=SPREAD))
START = torch.ones(SIZE)
FORGET = (1, 7)


def gradient(weights: torch.Tensor, rows: Sequence[int], of: int) -> torch.Tensor:
    """Of the loss (1/of) sum of (w - c)' A (w - c) / 2."""
    return sum((SQUARES[row] @ (weights - CENTRES[row]) for row in rows), start=torch.zeros(SIZE)) / of


class Quadratic:
    """Those losses as a correction asks for them; their Hessian is the same everywhere."""

    def __init__(self, weights: torch.Tensor) -> None:
        self.weights = weights.clone()
        self.products = self.gradients = 0

    def flat(self, named: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return named["weights"]

    def gradient(self, rows: Sequence[int], of: int) -> torch.Tensor:
        return gradient(self.weights, rows, of)

    def times(self, hessian: str, rows: Sequence[int], of: int, vectors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        self.products += len(vectors)
        return [sum((SQUARES[row] @ vector for row in rows), start=torch.zeros(SIZE)) / of for vector in vectors]


def trained(without: Collection[int] = (), level: str = "batch", recorder: Recorder | None = None) -> torch.Tensor:
    """The weights in the end: without some rows, each step that would see one is skipped, or sums fewer rows."""
    model = SimpleNamespace(weights=START.clone())
    given: Any = SimpleNamespace(named_parameters=lambda: [("weights", model.weights)])
    for step, (batch, lr) in enumerate(zip(BATCHES, RATES, strict=True)):
        kept = [row for row in batch if row not in without]
        if level == "batch" and len(kept) < len(batch):
            continue
        state: Any = SimpleNamespace(global_step=step, max_steps=len(BATCHES))
        told: Any = (SimpleNamespace(), state, SimpleNamespace())
        if recorder:
            recorder.on_pre_optimizer_step(*told, model=given, optimizer=SimpleNamespace(param_groups=[{"lr": lr}]))
        model.weights = model.weights - lr * gradient(model.weights, kept, len(batch))
        if recorder:
            recorder.on_optimizer_step(*told, model=given)
    return model.weights


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, torch.Tensor]:
    """The record of the whole training, and where it ended."""
    folder = tmp_path_factory.mktemp("recorded")
    recorder = Recorder(folder, [{"id": str(row)} for row in range(ROWS)], lambda step: BATCHES[step])
    state: Any = SimpleNamespace(global_step=len(BATCHES), max_steps=len(BATCHES))
    told: Any = (SimpleNamespace(), state, SimpleNamespace())
    recorder.on_train_begin(*told)
    end = trained(recorder=recorder)
    recorder.on_train_end(*told)
    return read_record(folder), end


def corrected(
    record: tuple[Record, torch.Tensor], folder: Path, forget: Collection[int] = FORGET, **way: Any
) -> tuple[torch.Tensor, Correction]:
    found = Way(**{"window": None, "hessian": "exact", "damping": 0.0, "level": "batch", "historical": True, **way})
    correction = Correction(Quadratic(record[1]), record[0], frozenset(forget), found)
    assert walk(correction, folder / "state.safetensors", None, lambda done, total: False)
    return record[1] - correction.whole(), correction


@pytest.mark.parametrize("level", ["batch", "sample"])
@pytest.mark.parametrize("forget", [(1,), (1, 7), (0, 5, 11)])
def test_it_is_the_training_without_the_rows_however_many_steps_saw_them(
    level: str, forget: tuple[int, ...], record: tuple[Record, torch.Tensor], tmp_path: Path
) -> None:
    true = trained(forget, level)
    found, correction = corrected(record, tmp_path, forget, level=level)
    edited = [step for step, batch in enumerate(BATCHES) if set(batch) & set(forget)]
    assert [said["step"] for said in correction.course if "forgotten" in said] == edited and len(edited) > 1
    assert torch.allclose(found, true, atol=2e-6)
    assert (record[1] - true).norm() > 0.1


def test_each_step_of_a_whole_window_costs_one_product(record: tuple[Record, torch.Tensor], tmp_path: Path) -> None:
    _, correction = corrected(record, tmp_path)
    said = summary(correction)
    kept = [step for step in range(correction.first, len(BATCHES)) if not set(BATCHES[step]) & set(FORGET)]
    assert said["products"] == len(kept) and said["edited"] == len(BATCHES) - correction.first - len(kept)
    assert said["collateral"] == said["edited"] * BATCH - said["forgotten"] > 0
    assert 0 < said["contraction_mean"] <= said["contraction_largest"] < 1, "these steps contract, all of them"


def test_a_window_as_long_as_the_training_is_the_whole_one_and_shorter_ones_come_less_near(
    record: tuple[Record, torch.Tensor], tmp_path: Path
) -> None:
    true = trained(FORGET)
    apart = [float((corrected(record, tmp_path, window=window)[0] - true).norm()) for window in (0, 1, 2, 4, len(BATCHES))]
    assert apart == sorted(apart, reverse=True) and apart[0] > 10 * apart[-1] and apart[-1] < 2e-6


def test_what_a_window_ends_is_kept_as_it_then_is(record: tuple[Record, torch.Tensor], tmp_path: Path) -> None:
    """The first steps after a removal carry it, not the last ones."""
    forget, window = (1,), 2
    expected = torch.zeros(SIZE)
    for step, batch in enumerate(BATCHES):
        if forget[0] not in batch:
            continue
        delta = record[0].change(step)["weights"]
        for later in range(step + 1, min(step + 1 + window, len(BATCHES))):
            if forget[0] not in BATCHES[later]:
                delta = delta - RATES[later] * sum(SQUARES[row] @ delta for row in BATCHES[later]) / BATCH
        expected += delta
    found, _ = corrected(record, tmp_path, forget, window=window)
    assert torch.allclose(record[1] - found, expected, atol=1e-6)


def test_damping_pulls_what_is_carried_towards_nothing(record: tuple[Record, torch.Tensor], tmp_path: Path) -> None:
    norms = [float(corrected(record, tmp_path, damping=damping)[1].whole().norm()) for damping in (0.0, 0.5, 2.0)]
    assert norms == sorted(norms, reverse=True) and norms[0] > norms[-1]


def test_it_goes_on_from_where_it_was_stopped_to_the_same_bits(record: tuple[Record, torch.Tensor], tmp_path: Path) -> None:
    for number, window in enumerate((None, 4)):
        whole, _ = corrected(record, tmp_path, window=window)
        way = Way(window, "exact", 0.0, "batch", True)
        file = tmp_path / f"stopped-{number}.safetensors"
        for _attempt in range(3):  # each is told to stop after three steps
            correction = Correction(Quadratic(record[1]), record[0], frozenset(FORGET), way)
            began = []

            def told(done: int, total: int, began: list[int] = began) -> bool:
                began.append(done)
                return len(began) == 3

            walk(correction, file, None, told)
        again = Correction(Quadratic(record[1]), record[0], frozenset(FORGET), way)
        assert walk(again, file, None, lambda done, total: False)
        assert torch.equal(record[1] - again.whole(), whole)
        assert [said["step"] for said in again.course] == list(range(again.first, again.last))


@pytest.mark.parametrize("window", [None, 2])
def test_without_rows_that_no_update_saw_the_training_is_the_same(
    window: int | None, record: tuple[Record, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, correction = corrected(record, tmp_path, {ROWS + 1}, window=window)
    assert torch.equal(found, record[1]) and summary(correction)["edited"] == summary(correction)["correction_norm"] == 0
    assert "no update saw any of the rows to forget" in capsys.readouterr().out


def test_a_record_that_lacks_an_update_is_one_message(record: tuple[Record, torch.Tensor], tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, [{"id": "0"}], lambda step: [0])
    state: Any = SimpleNamespace(global_step=1, max_steps=1)
    told: Any = (SimpleNamespace(), state, SimpleNamespace())
    recorder.on_train_begin(*told)
    with pytest.raises(JobError, match=r"0\.safetensors is missing, the update of step 0"):
        recorder.on_train_end(*told)
