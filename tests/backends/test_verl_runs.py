"""VeRL's own trainers, run by generated scripts and configs: supervised on a CPU, by reinforcement on a GPU."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from runtime.data.rows import read_rows
from runtime.models import load_model, load_tokenizer
from runtime.prompts import prompt_form
from runtime.verl import log
from tests.backends.real.outside import verl_python
from tests.tree import QUIET, REPOSITORY

HERE = Path(__file__).parent
SECONDS = 300.0
STEPS = 10
BEFORE_TRAINING = (
    "prepare/math", "prepare/code", "prepare/qa", "prepare/safety", "pretrain/base_micro", "build/truth_math.parquet",
)  # fmt: skip
TRAIN, CONVERT = "train/by_verl_math_base_micro", "convert/by_verl_math_base_micro"


class Study:
    """A study compiled in a folder of its own, whose job scripts can be run."""

    def __init__(self, root: Path, spec: Path) -> None:
        self.root = root
        (root / "runtime").symlink_to(REPOSITORY / "runtime")
        (root / ".venv").symlink_to(sys.prefix)
        (root / ".venv-verl").symlink_to(Path(verl_python()).parent.parent)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LETHE_", "SLURM_"))}
        more = {"LETHE_STORE": str(root / "store"), "LETHE_ROOT": str(root), "PYTHONPATH": str(REPOSITORY)}
        self.environment = {**kept, **QUIET, **more}
        done = self.call(sys.executable, "-m", "compiler.cli", "compile", str(spec))
        assert done.returncode == 0, done.stderr
        [plan] = (root / "generated").glob("*/plan.json")
        self.generated, self.plan = plan.parent, json.loads(plan.read_text())

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)

    def run(self, job: str) -> str:
        """Run a job's script to its good end; its output."""
        done = self.call("bash", str(self.script(job)))
        assert done.returncode == 0, f"{job}\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
        return done.stdout + done.stderr

    def script(self, job: str) -> Path:
        return self.generated / "jobs" / f"{job}.sh"

    def out(self, job: str) -> Path:
        [fingerprint] = [item["fingerprint"] for item in self.plan["jobs"] if item["id"] == job]
        return self.root / "store" / f"{job}-{fingerprint[:12]}"

    def marker(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out(job) / "DONE.json").read_text())
        return found


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Everything that VeRL's training reads is there."""
    made = Study(tmp_path_factory.mktemp("verl"), HERE / "verl_run.yaml")
    for job in BEFORE_TRAINING:
        made.run(job)
    return made


@pytest.fixture(scope="module")
def stopped(study: Study) -> Iterator[tuple[int, int, str]]:
    """The script's exit code, the last step that VeRL had saved, and the script's messages, after a SIGTERM on the way."""
    latest = study.out(TRAIN) / "latest_checkpointed_iteration.txt"
    log = study.root / "train.log"
    with log.open("w") as written:
        process = subprocess.Popen(
            ["bash", str(study.script(TRAIN))], cwd=study.root, env=study.environment, stdout=written, stderr=written
        )
        end = time.monotonic() + SECONDS
        while not latest.exists() and process.poll() is None:
            assert time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        code = process.wait(SECONDS)
    yield code, int(latest.read_text()), log.read_text()


@pytest.mark.slow
def test_a_signal_ends_both_processes_and_leaves_a_checkpoint_to_go_on_from(
    study: Study, stopped: tuple[int, int, str]
) -> None:
    code, step, said = stopped
    assert code == 75, said[-3000:]
    assert 0 < step < STEPS and "SIGTERM ended it" in said and "run it again, and it goes on from there" in said
    assert re.search(rf"^{TRAIN}: \d+/{STEPS} loss=", said, re.MULTILINE), said[-3000:]
    progress = json.loads((study.out(TRAIN) / "PROGRESS.json").read_text())
    assert 0 < progress["done"] <= STEPS == progress["total"]
    assert not (study.out(TRAIN) / "DONE.json").exists()
    assert len(list((study.out(TRAIN) / f"global_step_{step}").glob("model_world_size_2_rank_*.pt"))) == 2
    left = subprocess.run(["pgrep", "-f", str(study.generated / "configs")], capture_output=True, check=False)
    assert left.returncode == 1  # nothing is left running


@pytest.mark.slow
def test_it_goes_on_and_its_shards_become_a_model_that_transformers_loads(study: Study, stopped: tuple[int, int, str]) -> None:
    _, step, _ = stopped
    said = study.run(TRAIN)
    assert f"global step: {step}" in said or f"global_step_{step}" in said, said[-3000:]
    assert f"step:{step} -" not in said and f"step:{step + 1} -" in said  # no step is made twice
    marker = study.marker(TRAIN)
    assert marker["facts"]["updates"] == STEPS and marker["seconds"] > 0
    assert marker["facts"]["prompt_form"] == prompt_form(load_tokenizer(study.out("pretrain/base_micro")))
    assert json.loads((study.out(TRAIN) / "PROGRESS.json").read_text())["done"] == STEPS
    course = read_rows(study.out(TRAIN) / "train_log.jsonl")
    assert [entry["step"] for entry in course] == list(range(1, STEPS + 1))
    assert all(entry["loss"] > 0 and entry["grad_norm"] > 0 for entry in course)
    assert "already done" in study.run(TRAIN)

    study.run(CONVERT)
    start, made = study.out("pretrain/base_micro"), study.out(CONVERT)
    before, after = load_model(start).state_dict(), load_model(made).state_dict()
    assert before.keys() == after.keys()
    changed = [name for name in before if not torch.equal(before[name].bfloat16(), after[name].bfloat16())]
    assert len(changed) > len(before) / 2  # VeRL's merger stores bfloat16; what was not trained is the same in it
    prompt = load_tokenizer(made)("Q: 1+2?\nA:", return_tensors="pt")
    assert load_model(made)(**prompt).logits.isfinite().all()
    assert study.marker(CONVERT)["seconds"] > 0


@pytest.mark.slow
def test_what_it_took_is_a_pace_that_calibrate_counts(study: Study, stopped: tuple[int, int, str]) -> None:
    study.run(TRAIN)
    said = study.call(sys.executable, "-m", "compiler.cli", "calibrate", str(HERE / "verl_run.yaml"), "--json")
    found = json.loads(said.stdout)
    [pace] = found["paces"]
    assert (pace["algorithm"], pace["scale"], found["untimed"]) == ("verl_sft", "micro", [])
    assert pace["median"] == pytest.approx(study.marker(TRAIN)["seconds"] / STEPS)


# What VeRL's main_ppo does: its trainer, and in it its loggers, live in an actor of a cluster that others started.
ACTOR = """
import ray
from verl.trainer.constants_ppo import get_ppo_ray_runtime_env
ray.init(runtime_env=get_ppo_ray_runtime_env(None))
@ray.remote
class Runner:
    def run(self):
        from verl.utils.tracking import Tracking
        tracking = Tracking("p", "e", ["file"], config={})
        tracking.log({"critic/score/mean": 0.5}, step=1)
        tracking.finish()
ray.get(Runner.remote().run.remote())
"""


@pytest.mark.slow
def test_the_trainer_of_online_rl_hears_in_its_actor_where_to_log(tmp_path: Path) -> None:
    (tmp_path / "actor.py").write_text(ACTOR)
    python = Path(verl_python())
    own = {"PATH": f"{python.parent}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY), log.VARIABLE: str(tmp_path / "log")}
    done = subprocess.run(
        [python, "-m", "runtime.launch.ray_cluster", "--nodes=1", "--cpus=2", "--gpus=0", "python", tmp_path / "actor.py"],
        env={**os.environ, **QUIET, **own}, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert log.Reader(tmp_path / "log", grouped=True).new_entries() == [{"step": 1, "reward": 0.5}]


@pytest.mark.gpu
@pytest.mark.slow
def test_grpo_trains_with_vllm_on_a_gpu(tmp_path: Path) -> None:
    """Needs a GPU and, in LETHE_VERL_ENVIRONMENT, an environment made from requirements/verl.lock (`lethe env build verl`)."""
    if not torch.cuda.is_available() and not Path("/dev/nvidia0").exists():
        pytest.skip("there is no GPU here")
    folder = os.environ.get("LETHE_VERL_ENVIRONMENT")
    if not folder:
        pytest.fail("set LETHE_VERL_ENVIRONMENT to an environment made from requirements/verl.lock")
    made = Study(tmp_path, HERE / "verl_gpu.yaml")
    (made.root / ".venv-gpu").symlink_to(folder)
    for job in [item["id"] for item in made.plan["jobs"] if item["kind"] in ("prepare", "pretrain", "build")]:
        made.run(job)
    [train] = [item["id"] for item in made.plan["jobs"] if item["kind"] == "train"]
    made.run(train)
    assert made.marker(train)["facts"]["updates"] == 2
    [convert] = [item["id"] for item in made.plan["jobs"] if item["kind"] == "convert"]
    made.run(convert)
    assert load_model(made.out(convert)).dtype is not None
