"""A training by plain SGD that leaves a record, and LMCleaner's correction by it, through the job's own entry on toy models."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import torch

from runtime.data.rows import read_rows, write_rows
from runtime.errors import EndedEarly, JobError
from runtime.job import Input, Job
from runtime.jobs import train
from runtime.lifecycle.bracket import missing_files
from runtime.models import load_model, load_tokenizer
from runtime.train.unlearn.curvature import HESSIANS
from runtime.train.unlearn.lmcleaner import LEVELS
from runtime.train.unlearn.record import Record, read_record
from runtime.train.unlearn.sequences import answer_tokens
from tests.runtime.test_resume import DOOMED
from tests.runtime.toys import Rows, Values, interrupted, same, untrained, weights
from tests.runtime.unlearning import FORGET, RETAIN, as_sft
from tests.tree import QUIET

LEARNED: Rows = [as_sft(row) for row in FORGET + RETAIN]
GONE: Rows = [FORGET[3], FORGET[9]]  # neither the first rows nor in one batch
RECORDED: Values = {
    "backend": "native", "algorithm": "recorded_sgd", "lr": 0.02, "schedule": "linear", "warmup_epochs": 0, "epochs": 2,
    "steps": None, "batch_size": 4, "max_length": 32, "seed": 0,
}  # fmt: skip
TRAINED: Values = {"devices": 1, "micro_batch_size": 2, "gradient_checkpointing": False, "logging_steps": 1, "save_steps": None,
                   "report_to": "none"}  # fmt: skip
CLEANED: Values = {
    "backend": "native", "algorithm": "lmcleaner", "window": None, "hessian": "exact", "damping": 0.0, "level": "sample",
    "historical_parameters": True, "noise": None, "seed": 0,
}  # fmt: skip
HIDDEN: Values = {"epsilon": 0.5, "delta": 1e-5, "sensitivity": 0.01, "directions": None}


def job(given: Values, folder: Path, start: Path, rows: Rows, out: str) -> Job:
    """A train job in `folder`: of a recorded training on a dataset.sft, or of a correction on a dataset.unlearning."""
    data = folder / f"data-{out}"
    data.mkdir(parents=True)
    (folder / out).mkdir()
    write_rows(data / ("data.jsonl" if given["algorithm"] == "recorded_sgd" else "forget.jsonl"), rows)
    inputs = {"start": Input("train/start", "any", start, "0"), "data": Input("build/d", "any", data, "0")}
    return Job("train/toy", "train", "test", "f" * 64, None, given, inputs, folder / out)


def recording(folder: Path, start: Path, out: str, execution: Values | None = None, **changes: Any) -> Job:
    return job({**RECORDED, **changes, "execution": {**TRAINED, **(execution or {})}}, folder, start, LEARNED, out)


def cleaning(folder: Path, start: Path, out: str, execution: Values | None = None, forget: Rows = GONE, **changes: Any) -> Job:
    run = {"devices": 1, "micro_batch_size": 3, "save_steps": None, **(execution or {})}
    return job({**CLEANED, **changes, "execution": run}, folder, start, forget, out)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("start") / "start")


@pytest.fixture(scope="module")
def recorded(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that plain SGD made, with its record."""
    made = recording(tmp_path_factory.mktemp("recorded"), start, "recorded")
    assert train.run(made)["steps"] == 16
    return made.out


def loss(model: Any, tokenizer: Any, rows: Collection[int], of: int) -> torch.Tensor:
    """(1/of) sum of the rows' mean negative log-likelihoods, each row by itself."""
    total = torch.zeros(())
    for row in rows:
        one = answer_tokens(LEARNED[row]["prompt"], LEARNED[row]["completion"], tokenizer)
        told = model(torch.tensor([one.ids])).logits[0].log_softmax(-1)
        labels = range(one.start, len(one.ids))
        total = total - sum((told[place - 1, one.ids[place]] for place in labels), start=torch.zeros(())) / len(labels)
    return total / of


def trained_without(start: Path, record: Record, rows: Rows, level: str) -> dict[str, torch.Tensor]:
    """The training made again, by hand: steps that saw any of the rows are skipped, or sum the others alone."""
    model, tokenizer = load_model(start, torch.device("cpu")), load_tokenizer(start)
    gone = {row["id"] for row in rows}
    for update in record.updates:
        kept = [row for row in update.rows if LEARNED[row]["id"] not in gone]
        if level == "batch" and len(kept) < len(update.rows):
            continue
        found = torch.autograd.grad(loss(model, tokenizer, kept, len(update.rows)), list(model.parameters()))
        with torch.no_grad():
            for weight, gradient in zip(model.parameters(), found, strict=True):
                weight -= update.lr * gradient
    state: dict[str, torch.Tensor] = model.state_dict()
    return state


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return math.sqrt(sum(float((one[name] - other[name]).square().sum()) for name in one))


# ---- the record --------------------------------------------------------------------------------------------------------


def test_the_record_is_the_training_step_by_step(start: Path, recorded: Path) -> None:
    """Made again by hand from the rows and learning rates that it tells, each update is the one that it holds."""
    record = read_record(recorded)
    model, tokenizer = load_model(start, torch.device("cpu")), load_tokenizer(start)
    named = dict(model.named_parameters())
    for update in record.updates:
        found = torch.autograd.grad(loss(model, tokenizer, update.rows, 4), list(named.values()))
        change = record.change(update.step)
        assert change.keys() == named.keys()
        for (name, weight), gradient in zip(named.items(), found, strict=True):
            assert torch.allclose(change[name], -update.lr * gradient, atol=1e-7)
            weight.data += change[name]
    assert apart(model.state_dict(), weights(recorded)) < 1e-6
    seen = [row for update in record.updates for row in update.rows]
    assert sorted(seen[:32]) == sorted(seen[32:]) == list(range(32)) and seen[:32] != seen[32:]
    assert [dict(row) for row in record.rows] == LEARNED


def test_the_learning_rate_is_that_of_the_step_itself(recorded: Path) -> None:
    """The schedule is linear, from the first step's whole rate to almost nothing, and never the next step's."""
    rates = [update.lr for update in read_record(recorded).updates]
    assert rates == pytest.approx([0.02 * (16 - step) / 16 for step in range(16)])


def test_a_record_is_part_of_what_the_training_must_leave(recorded: Path, tmp_path: Path) -> None:
    assert missing_files("checkpoint.recorded", recorded) == missing_files("checkpoint.hf", recorded) == []
    bare = untrained(tmp_path / "bare")
    assert missing_files("checkpoint.recorded", bare) == ["record/record.json"]


def test_a_stopped_training_leaves_the_same_record(start: Path, recorded: Path, tmp_path: Path) -> None:
    made = recording(tmp_path, start, "stopped")
    with pytest.raises(EndedEarly, match="stopped at step 2 of 16"):
        train.run(interrupted(made))
    assert missing_files("checkpoint.recorded", made.out)
    train.run(made)
    assert same(made.out, recorded)
    one, other = (read_record(folder) for folder in (made.out, recorded))
    assert one.updates == other.updates
    files = [sorted((folder / "record" / "updates").iterdir()) for folder in (made.out, recorded)]
    assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]


def test_an_update_is_the_same_however_it_is_cut(start: Path, recorded: Path, tmp_path: Path) -> None:
    made = recording(tmp_path, start, "whole", {"micro_batch_size": 4})
    train.run(made)
    assert apart(weights(made.out), weights(recorded)) < 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 64}, "32 rows are fewer than one batch of 64"),
        ({"max_length": 8}, r"max_length: a row has \d+ tokens, and 8 are the most"),
        ({"weight_decay": 0.1}, "there is no 'weight_decay'"),
    ],
)
def test_what_no_correction_could_compute_again_is_refused(change: Values, message: str, start: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=message):
        train.run(recording(tmp_path, start, "out", **change))


def test_a_model_that_drops_units_is_refused(tmp_path: Path) -> None:
    start = untrained(tmp_path / "dropping")
    config = json.loads((start / "config.json").read_text())
    (start / "config.json").write_text(json.dumps({**config, "attention_dropout": 0.1}))
    with pytest.raises(JobError, match=r"drops units at random \(attention_dropout: 0\.1\)"):
        train.run(recording(tmp_path, start, "out"))


def test_both_configs_are_what_their_schemas_ask_for(start: Path, tmp_path: Path) -> None:
    """And every choice of a schema is one that is read."""
    beside = {"backend", "algorithm"}
    for given, run in ((RECORDED, TRAINED), (CLEANED, {"devices", "micro_batch_size", "save_steps"})):
        file = Path("templates/backends/native") / f"{given['algorithm']}.schema.json"
        parts = json.loads(file.read_text(encoding="utf-8"))["properties"]
        assert set(parts["settings"]["properties"]) == set(parts["settings"]["required"]) == given.keys() - beside
        assert set(parts["execution"]["required"]) == set(run)
    assert set(parts["settings"]["properties"]["hessian"]["enum"]) == set(HESSIANS)
    assert set(parts["settings"]["properties"]["level"]["enum"]) == set(LEVELS)
    with pytest.raises(JobError, match="hessian: there is no 'GGN'; there are exact, fisher, diag"):
        train.run(cleaning(tmp_path, start, "out", hessian="GGN"))
    with pytest.raises(JobError, match="schedule: there is no 'neither'"):
        train.run(recording(tmp_path, start, "neither", schedule="neither"))


# ---- the correction ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("level", "most"), [("sample", 0.15), ("batch", 0.35)])
def test_it_comes_near_to_the_training_without_the_rows_and_nearer_with_longer_windows(
    level: str, most: float, start: Path, recorded: Path, tmp_path: Path
) -> None:
    true = trained_without(start, read_record(recorded), GONE, level)
    windows = (0, 2, 5, None)
    made = [cleaning(tmp_path, recorded, f"{window}", level=level, window=window) for window in windows]
    facts = [train.run(one) for one in made]
    far = [apart(weights(one.out), true) for one in made]
    before = apart(weights(recorded), true)
    assert far == sorted(far, reverse=True) and far[0] < before and far[-1] < most * before
    assert all(told["edited"] == facts[0]["edited"] > 2 for told in facts)
    assert facts[-1]["contraction_largest"] < 1.1 and facts[-1]["prompt_form"]


def test_rank_one_and_diagonal_come_less_near(start: Path, recorded: Path, tmp_path: Path) -> None:
    true = trained_without(start, read_record(recorded), GONE, "sample")
    made = {name: cleaning(tmp_path, recorded, name, hessian=name) for name in ("exact", "fisher", "diag")}
    facts = {name: train.run(one) for name, one in made.items()}
    far = {name: apart(weights(one.out), true) for name, one in made.items()}
    assert 2 * far["exact"] < min(far["fisher"], far["diag"])
    assert facts["exact"]["products"] > 0 == facts["fisher"]["products"] == facts["diag"]["products"]


def test_weights_of_the_end_do_for_none_of_the_steps_before(start: Path, recorded: Path, tmp_path: Path) -> None:
    true = trained_without(start, read_record(recorded), GONE, "batch")
    past, last = (cleaning(tmp_path, recorded, f"{one}", historical_parameters=one, level="batch") for one in (True, False))
    for one in (past, last):
        train.run(one)
    assert apart(weights(past.out), true) < apart(weights(last.out), true) < apart(weights(recorded), true)


def test_the_steps_are_those_that_saw_the_rows_wherever_these_stand(recorded: Path, tmp_path: Path) -> None:
    record = read_record(recorded)
    made = cleaning(tmp_path, recorded, "out", level="batch")
    facts = train.run(made)
    numbers = {number for number, row in enumerate(LEARNED) if row["id"] in {one["id"] for one in GONE}}
    edited = [update for update in record.updates if numbers & set(update.rows)]
    told = [said for said in read_rows(made.out / "train_log.jsonl") if "forgotten" in said]
    assert [said["step"] for said in told] == [update.step for update in edited]
    assert facts["forgotten"] == 2 * len(GONE) and facts["collateral"] == 4 * len(edited) - facts["forgotten"]
    assert [said["removed_norm"] for said in told] == pytest.approx(
        [math.sqrt(sum(float(u.square().sum()) for u in record.change(one.step).values())) for one in edited], rel=1e-4
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "unknown", "prompt": "say up 1", "answer": "up 1"}, "forget.jsonl:2: .* 'unknown' is none of them"),
        ({**FORGET[0], "answer": "something else"}, "forget.jsonl:2: .* has another text there"),
    ],
)
def test_a_row_that_the_start_never_saw_is_one_message(row: Values, message: str, recorded: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=message):
        train.run(cleaning(tmp_path, recorded, "out", forget=[GONE[0], row]))


def test_a_start_without_a_record_is_one_message(start: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"record\.json: no such file.*begin from what recorded_sgd made"):
        train.run(cleaning(tmp_path, start, "out"))


def test_what_does_not_contract_any_more_is_one_message(start: Path, tmp_path: Path) -> None:
    wild = recording(tmp_path, start, "wild", lr=0.1, schedule="constant", epochs=4)
    train.run(wild)
    with pytest.raises(JobError, match=r"no finite number at step \d+: the training does not contract there"):
        train.run(cleaning(tmp_path, wild.out, "out", damping=1e30))


def test_a_correction_is_the_same_however_it_is_cut(recorded: Path, tmp_path: Path) -> None:
    one, other = (cleaning(tmp_path, recorded, f"{cut}", {"micro_batch_size": cut}) for cut in (1, 4))
    for made in (one, other):
        train.run(made)
    assert apart(weights(one.out), weights(other.out)) < 1e-6


def test_a_stopped_correction_goes_on_to_the_same_bits(recorded: Path, tmp_path: Path) -> None:
    whole, stopped = (cleaning(tmp_path, recorded, name, window=4) for name in ("whole", "stopped"))
    facts = train.run(whole)
    with pytest.raises(EndedEarly, match="stopped at step 2 of"):
        train.run(interrupted(stopped))
    assert train.run(stopped) == facts
    assert same(stopped.out, whole.out) and not (stopped.out / "checkpoints").exists()


@pytest.mark.slow
def test_a_killed_correction_does_too(recorded: Path, tmp_path: Path) -> None:
    whole, killed = (cleaning(tmp_path, recorded, name, {"save_steps": 3}) for name in ("whole", "killed"))
    facts = train.run(whole)
    inputs = {name: str(one.path) for name, one in killed.inputs.items()}
    words = {"config": killed.config, "inputs": inputs, "out": str(killed.out), "moment": "step", "at": 5}
    died = subprocess.run([sys.executable, "-c", DOOMED, json.dumps(words)], env={**os.environ, **QUIET}, check=False)
    assert died.returncode == -signal.SIGKILL and (killed.out / "checkpoints/correction.safetensors").is_file()
    assert train.run(killed) == facts
    assert same(killed.out, whole.out)


# ---- noise -------------------------------------------------------------------------------------------------------------


def released(folder: Path, recorded: Path, name: str, **changes: Any) -> torch.Tensor:
    """All weights after a correction that has nothing to carry on, as one vector."""
    made = cleaning(folder, recorded, name, level="batch", window=0, **changes)
    facts = train.run(made)
    assert ("noise_along" in facts) == (changes.get("noise") is not None)
    held = weights(made.out)
    return torch.cat([held[name].reshape(-1) for name in sorted(held) if name != "lm_head.weight"])  # it is the embedding


def test_noise_is_drawn_once_by_the_seed_and_has_the_said_scale(recorded: Path, tmp_path: Path) -> None:
    plain = released(tmp_path, recorded, "plain")
    one, again = (released(tmp_path, recorded, name, noise=HIDDEN) - plain for name in ("one", "again"))
    other = released(tmp_path, recorded, "other", noise=HIDDEN, seed=1) - plain
    sigma = 0.01 / 0.5 * math.sqrt(2 * math.log(1.25 / 1e-5))
    assert float(one.std()) == pytest.approx(sigma, rel=0.02) and abs(float(one.mean())) < sigma / 50
    assert torch.equal(again, one) and float((other - one).std()) == pytest.approx(sigma * math.sqrt(2), rel=0.02)
    directions = {**HIDDEN, "directions": {"rank": 40, "across": 0.001}}
    along = 2 * 0.01 / 0.5 * math.sqrt(2 * math.log(2.5 / 1e-5))
    found = released(tmp_path, recorded, "along", noise=directions) - plain
    assert float(found.norm()) == pytest.approx(along * math.sqrt(40 + 0.001**2 * (len(found) - 40)), rel=0.3)
