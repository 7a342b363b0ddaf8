"""A training's own log raises alarms: rewards without spread, accuracy that jumps, answers at the cap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from runtime.jobs import train
from runtime.train.alarms import Alarm, find_alarms, samples
from tests.runtime.test_train import COPY, GRPO, QUESTIONS, SFT
from tests.runtime.toys import changed, train_job


def log(name: str, values: Sequence[float], every: int = 10) -> list[dict[str, Any]]:
    return [{"step": every * (n + 1), "loss": 0.1, name: value} for n, value in enumerate(values)]


def test_a_healthy_log_raises_none() -> None:
    steady = {"frac_reward_zero_std": 0.6, "completions/clipped_ratio": 0.1}
    entries = [{"step": 10 * n, "reward": 0.5 + 0.04 * n, **steady} for n in range(8)]
    assert find_alarms(entries) == []
    assert samples(entries)


def test_groups_without_spread_are_told_once_with_where_and_how_often() -> None:
    found = find_alarms(log("frac_reward_zero_std", [0.3, 0.92, 1.0, 0.5, 0.95]))
    assert found == [Alarm("no_spread", 20, 50, 3, 1.0)]
    assert "100% of the groups have one reward for all answers (3 times, steps 20 to 50)" in found[0].said


@pytest.mark.parametrize(("rewards", "value"), [([0.2, 0.25, 0.6, 0.62], 0.35), ([0.8, 0.3, 0.35], -0.5)])
def test_an_accuracy_that_jumps_either_way_is_told(rewards: list[float], value: float) -> None:
    [alarm] = find_alarms(log("reward", rewards))
    assert (alarm.kind, alarm.entries) == ("jump", 1)
    assert alarm.value == pytest.approx(value)
    assert f"{value:+.0%}" in alarm.said


def test_a_slow_rise_of_the_same_size_is_none() -> None:
    assert find_alarms(log("reward", [0.2, 0.35, 0.5, 0.65, 0.8])) == []


def test_answers_at_the_cap_are_told() -> None:
    [alarm] = find_alarms(log("completions/clipped_ratio", [0.1, 0.2, 0.7]))
    assert (alarm.kind, alarm.first_step, alarm.last_step, alarm.value) == ("at_the_cap", 30, 30, 0.7)


def test_a_log_of_a_training_that_samples_nothing_raises_none() -> None:
    entries = log("mean_token_accuracy", [0.1, 0.9, 1.0])
    assert find_alarms(entries) == [] and not samples(entries)


def test_alarms_come_in_the_order_in_which_they_began() -> None:
    rewards, spreads = log("reward", [0.5, 0.5, 0.9]), log("frac_reward_zero_std", [0, 0.9, 0.9])
    entries = [{**a, **b} for a, b in zip(rewards, spreads, strict=True)]
    assert [alarm.kind for alarm in find_alarms(entries)] == ["no_spread", "jump"]


def test_a_training_prints_its_alarms_and_records_them(
    untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unanswerable = [{**row, "answer": "nobody says this", "solution": "nobody says this"} for row in QUESTIONS]
    config = {**changed(GRPO, max_steps=3), "execution": {"logging_steps": 1}}
    job = train_job(config, unanswerable, tmp_path, "out", {"start": untrained})
    alarms = train.run(job)["alarms"]
    assert {alarm["kind"]: alarm["value"] for alarm in alarms}["no_spread"] == 1.0
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("ALARM train/toy: 100% of the groups")]
    assert len(printed) == 1


def test_a_training_on_given_answers_has_no_alarms_to_tell(untrained: Path, tmp_path: Path) -> None:
    facts = train.run(train_job(SFT, COPY, tmp_path, "out", {"start": untrained}))
    assert "alarms" not in facts
    assert len(facts["prompt_hash"]) == len(facts["prompt_form"]) == 16
