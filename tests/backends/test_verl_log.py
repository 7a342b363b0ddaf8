"""What VeRL logs is progress and alarms while it trains, and the training's course when it is done, over all attempts."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from compiler.backends import Part
from runtime.data.parquet import write_verl
from runtime.data.rows import read_rows
from runtime.errors import CommandFailed
from runtime.lifecycle import bracket, follow
from runtime.models import load_tokenizer, train_tokenizer
from runtime.prompts import prompt_form, prompt_hash, render_prompt
from runtime.store import markers
from runtime.verl import log
from tests.backends import catalog
from tests.backends.real.outside import verl_python
from tests.tree import Tree

STEPS, JOB = 6, "train/x"
ROWS = [
    {"id": f"r{n}", "prompt": f"What is {n}+{n}?", "answer": f"{2 * n}", "solution": f"\\boxed{{{2 * n}}}"}
    for n in range(2, 40)
]
# In VeRL's place: logs by VeRL's own class, waits until it is shown (if it is to be), and saves a checkpoint or is killed.
STAND_IN = """
import importlib.util, json, os, pathlib, signal, sys, time
asked, out = json.loads(sys.argv[1]), pathlib.Path(sys.argv[2])
[folder] = importlib.util.find_spec("verl").submodule_search_locations
spec = importlib.util.spec_from_file_location("tracking", pathlib.Path(folder) / "utils" / "tracking.py")
tracking = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tracking)
logger = tracking.FileLogger("p", "e")
for step, data in asked["logged"]:
    if step is None:
        logger.fp.write(data.encode())
    else:
        logger.log(data, step)
    time.sleep(asked["pause"])
progress, end = out / "PROGRESS.json", time.monotonic() + 60
while asked["shown"] and not (progress.is_file() and json.loads(progress.read_text())["done"] == asked["logged"][-1][0]):
    if time.monotonic() > end:
        sys.exit(9)
    time.sleep(0.05)
if asked["killed"]:
    os.kill(os.getpid(), signal.SIGKILL)
model = out / f"global_step_{asked['saved']}" / asked["model"]
(model / "huggingface").mkdir(parents=True)
(model / "model_world_size_1_rank_0.pt").touch()
(out / "latest_checkpointed_iteration.txt").write_text(str(asked["saved"]))
"""


@dataclass
class Training:
    """A job of VeRL's in a store with its inputs, launched with a stand-in for VeRL."""

    tree: Tree
    algorithm: str
    out: Path = field(init=False)

    def __post_init__(self) -> None:
        what, values = catalog.algorithm(self.algorithm, "math")
        values["settings"] |= {"epochs": None, "steps": STEPS}
        self.tree.add(JOB, output="checkpoint.shards", config=catalog.rendered(what, values))
        self.out = self.tree.out(JOB)
        start, data = self.tree.store / "start", self.tree.store / "data"
        train_tokenizer([row["prompt"] for row in ROWS], 300).save_pretrained(start)
        data.mkdir()
        sft = self.algorithm == "sft"
        kind = "dataset.sft" if sft else "dataset.rl"
        write_verl(
            data / "train.parquet", [{**row, "completion": row["solution"]} for row in ROWS] if sft else ROWS, kind, "math"
        )
        inputs = {
            name: {"job": f"a/{name}", "type": type_, "path": name, "fingerprint": "f" * 64, "required": False}
            for name, type_ in (("start", "checkpoint.hf"), ("data", kind))
        }
        contract = json.loads(self.tree.contract(JOB).read_text())
        self.tree.contract(JOB).write_text(json.dumps({**contract, "inputs": inputs}))

    def launch(self, logged: list[Any], *, killed: bool = False, shown: bool = True, pause: float = 0.0) -> int:
        """One attempt, which logs these steps (None: bytes as they are)."""
        model = "" if self.algorithm == "sft" else "actor"
        asked = {"logged": logged, "killed": killed, "shown": shown, "pause": pause, "saved": STEPS, "model": model}
        command = [verl_python(), "-c", STAND_IN, json.dumps(asked), str(self.out)]
        return bracket.launch(self.tree.contract(JOB), command, marked=False)

    @property
    def facts(self) -> Any:
        marker = markers.read(self.out)
        assert marker is not None
        return marker.facts

    @property
    def course(self) -> list[dict[str, Any]]:
        return read_rows(self.out / "train_log.jsonl")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    made = Tree(tmp_path / "a 'root' {x}")
    made.store.mkdir()
    monkeypatch.setenv("LETHE_STORE", str(made.store))
    return made


def rollout(reward: float, *, clipped: float = 0.0, spread: float = 1.0, loss: float = 0.1) -> dict[str, Any]:
    """Some of what VeRL logs of one step of GRPO."""
    return {
        "critic/score/mean": reward, "response_length/clip_ratio": clipped, "critic/advantages/max": spread,
        "critic/advantages/min": -spread, "actor/loss": loss, "actor/grad_norm": 1.0, "timing_s/gen": 3.0,
    }  # fmt: skip


def asked_of(algorithm: str) -> tuple[Part, dict[str, Any]]:
    """What an algorithm's config is made from, with a teacher where it has one."""
    what, values = catalog.algorithm(algorithm, "math")
    if "teacher_model" in what.takes("settings"):
        values["settings"]["teacher_model"] = "qwen3_32b"
    return what, values


def sft(*losses: float) -> list[Any]:
    return [[step, {"train/loss": loss, "train/grad_norm": 1.0}] for step, loss in enumerate(losses, start=1)]


def test_it_shows_how_far_it_is_and_raises_alarms_and_a_later_attempt_replaces_what_it_trains_again(
    tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    training = Training(tree, "grpo")
    first = [[1, rollout(0.2)], [2, rollout(0.2, spread=0.0)], [3, rollout(0.2, clipped=0.6)], [4, rollout(0.25)]]
    with pytest.raises(CommandFailed, match="exit code 137") as killed:
        training.launch(first, killed=True)
    assert killed.value.exit_code == 128 + signal.SIGKILL
    progress = json.loads((training.out / "PROGRESS.json").read_text())
    assert (progress["done"], progress["total"], progress["reward"]) == (4, STEPS, 0.25)
    assert progress["first_at"] <= progress["at"]
    said = capsys.readouterr().out
    assert f"{JOB}: 4/{STEPS} loss=0.1 reward=0.25 grad_norm=1" in said
    assert said.count(f"ALARM {JOB}: 100% of the groups have one reward for all answers (at step 2)") == 1
    assert said.count(f"ALARM {JOB}: 60% of the answers are cut off") == 1
    assert not (training.out / "train_log.jsonl").exists()

    again = [[3, rollout(0.3)], [4, rollout(0.3)], [5, rollout(0.8)], [6, rollout(0.8, spread=0.0)]]
    assert training.launch(again) == 0
    said = capsys.readouterr().out
    assert said.count("ALARM") == 1 and f"ALARM {JOB}: the samples' accuracy moves by +50%" in said
    assert [(entry["step"], entry["reward"]) for entry in training.course] == [
        (1, 0.2), (2, 0.2), (3, 0.3), (4, 0.3), (5, 0.8), (6, 0.8),
    ]  # fmt: skip
    assert training.course[0] == {
        "step": 1, "reward": 0.2, "completions/clipped_ratio": 0.0, "loss": 0.1, "grad_norm": 1.0,
    }  # fmt: skip
    found = [(alarm["kind"], alarm["first_step"], alarm["last_step"], alarm["entries"]) for alarm in training.facts["alarms"]]
    assert found == [("no_spread", 2, 6, 2), ("jump", 5, 5, 1)]  # the answers at the cap were trained on again


@pytest.mark.parametrize("algorithm", ["sft", "grpo"])
def test_its_done_marker_has_the_form_and_the_hash_of_the_prompts_that_verl_renders(tree: Tree, algorithm: str) -> None:
    training = Training(tree, algorithm)
    logged = sft(*[0.5] * STEPS) if algorithm == "sft" else [[step, rollout(0.5)] for step in range(1, STEPS + 1)]
    assert training.launch(logged) == 0
    tokenizer = load_tokenizer(tree.store / "start")
    assert training.facts["prompt_form"] == prompt_form(tokenizer)
    assert training.facts["prompt_hash"] == prompt_hash([render_prompt(row["prompt"], tokenizer) for row in ROWS])
    assert training.facts.get("alarms") == (None if algorithm == "sft" else [])


def test_an_update_without_a_finite_loss_is_an_alarm_and_null_in_the_log(
    tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    training = Training(tree, "sft")
    assert training.launch(sft(0.5, float("nan"), 0.5, float("inf"), 0.5, 0.5)) == 0
    said = f"ALARM {JOB}: loss or gradient is no finite number, so that an update is left out (2 times, steps 2 to 4)"
    assert said in capsys.readouterr().out
    assert [entry["loss"] for entry in training.course] == [0.5, None, 0.5, None, 0.5, 0.5]
    [alarm] = training.facts["alarms"]
    assert (alarm["kind"], alarm["entries"]) == ("no_number", 2)


def test_nothing_that_goes_wrong_in_showing_it_ends_a_training_and_it_is_said_once(
    tree: Tree, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LOOK", 0.02)
    training = Training(tree, "sft")
    (training.out / "PROGRESS.json").mkdir(parents=True)  # where a file cannot be written
    broken = [[None, "\n"], [None, '{"step": 1, "da\n'], [None, "[1]\n"], [None, '{"step": 9, "data": {"train/lo']]
    assert training.launch([*sft(*[0.5] * STEPS), *broken], shown=False, pause=0.1) == 0
    said = capsys.readouterr().err
    assert said.count("what VeRL logs cannot be shown") == 1 and "it trains on" in said
    assert [entry["step"] for entry in training.course] == list(range(1, STEPS + 1))


def test_a_training_that_logged_nothing_is_done_all_the_same(tree: Tree) -> None:
    training = Training(tree, "sft")
    assert training.launch([], shown=False) == 0
    assert training.facts["updates"] == STEPS and "alarms" not in training.facts
    assert not (training.out / "train_log.jsonl").exists()


@pytest.mark.parametrize(("algorithm", "learns"), [("grpo", True), ("distill", False), ("sft", False)])
def test_only_where_rewards_are_learned_from_is_their_spread_an_alarm(algorithm: str, learns: bool) -> None:
    config = catalog.rendered(*asked_of(algorithm))
    assert log.is_grouped(config) is learns
    line = json.dumps({"step": 1, "data": rollout(0.5, spread=0.0)}).encode()
    entry = log.entry_of(line, grouped=log.is_grouped(config))
    assert entry is not None and ("frac_reward_zero_std" in entry) is learns


@pytest.mark.parametrize("algorithm", ["sft", "grpo", "distill"])
def test_every_training_logs_to_the_file_and_no_fingerprint_knows(algorithm: str) -> None:
    what, values = asked_of(algorithm)
    assert catalog.rendered(what, values)["trainer"]["logger"] == ["console", "file", "wandb"]
    values["execution"]["report_to"] = "none"
    assert catalog.rendered(what, values)["trainer"]["logger"] == ["console", "file"]
    decisive = what.config_of(values["settings"], dict.fromkeys(what.takes("execution")))
    assert decisive["trainer"]["logger"] == ["console"]
