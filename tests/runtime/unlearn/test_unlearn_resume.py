"""An unlearning that was stopped, or killed, goes on as if it had not: with the same pairs, weights and dual variable."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.data.rows import read_rows
from runtime.errors import EndedEarly, JobError
from runtime.jobs import train
from tests.runtime.test_resume import DOOMED
from tests.runtime.toys import Values, interrupted, same, untrained, weights
from tests.runtime.unlearning import ABOUT, config, unlearning_job
from tests.tree import QUIET

PERMUTED: Values = {**ABOUT, "pairing": "permutation"}
DRAWN: Values = {"about": {**PERMUTED, "draw": "each_visit"}, "refusals": ("no idea", "who knows 1")}
LORA: Values = {"type": "lora", "rank": 4, "alpha": 8, "dropout": 0.1, "targets": "all-linear"}

TOGETHER = """
import json, sys
from pathlib import Path
from runtime.job import Input, Job
from runtime.jobs import train
given = json.loads(sys.argv[1])
inputs = {name: Input(name, "any", Path(path), "0") for name, path in given["inputs"].items()}
train.run(Job("train/together", "train", "test", "f", None, given["config"], inputs, Path(given["out"])))
"""


def in_two_processes(program: str, argument: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program as torchrun starts it, twice."""
    file = folder / "program.py"
    file.write_text(program)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(file), argument]
    environment = {**os.environ, **QUIET, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("start") / "start", spread=4.0)


@pytest.mark.parametrize("algorithm", ["finetune", "grad_diff", "npo", "alternate_dpo", "rmu", "undial", "pdu"])
def test_a_stopped_training_ends_in_the_same_weights_bit_for_bit(algorithm: str, start: Path, tmp_path: Path) -> None:
    """Stopped after two of four updates of the first epoch; the second epoch is after that."""
    data: Values = DRAWN if algorithm == "alternate_dpo" else {"about": PERMUTED if algorithm in ("npo", "pdu") else ABOUT}
    jobs = [unlearning_job(config(algorithm, epochs=2), tmp_path, start, out, **data) for out in ("whole", "stopped")]
    train.run(jobs[0])
    with pytest.raises(EndedEarly, match="stopped at step 2 of 8"):
        train.run(interrupted(jobs[1]))
    assert train.run(jobs[1])["steps"] == 8
    assert same(jobs[1].out, jobs[0].out)


@pytest.mark.parametrize("update", ["micro_batch", "step", "epoch"])
def test_a_killed_training_takes_its_dual_variable_with_it(update: str, start: Path, tmp_path: Path) -> None:
    """Killed at the seventh update, in the second epoch, two after the last checkpoint."""
    given = config("pdu", dual_update=update, execution={"save_steps": 5})
    whole, killed = (unlearning_job(given, tmp_path, start, out) for out in ("whole", "killed"))
    train.run(whole)
    inputs = {name: str(one.path) for name, one in killed.inputs.items()}
    words = {"config": given, "inputs": inputs, "out": str(killed.out), "moment": "step", "at": 7}
    died = subprocess.run([sys.executable, "-c", DOOMED, json.dumps(words)], env={**os.environ, **QUIET}, check=False)
    assert died.returncode == -signal.SIGKILL
    assert (killed.out / "checkpoints/dual-5.0.pt").is_file()
    train.run(killed)
    assert same(killed.out, whole.out)
    duals = [[entry["dual"] for entry in read_rows(job.out / "train_log.jsonl") if "dual" in entry] for job in (whole, killed)]
    assert duals[1] == duals[0] and len(set(duals[0])) > 2


def test_a_checkpoint_without_its_dual_variable_is_none_to_go_on_from(start: Path, tmp_path: Path) -> None:
    job = unlearning_job(config("pdu"), tmp_path, start)
    with pytest.raises(EndedEarly):
        train.run(interrupted(job))
    (job.out / "checkpoints/dual-2.0.pt").unlink()
    with pytest.raises(JobError, match=r"dual-2\.0\.pt is missing"):
        train.run(job)


@pytest.mark.parametrize("algorithm", ["npo", "rmu"])
def test_an_adapter_goes_on_too(algorithm: str, start: Path, tmp_path: Path) -> None:
    given = config(algorithm, epochs=2, adapter=LORA)
    whole, stopped = (unlearning_job(given, tmp_path, start, out) for out in ("whole", "stopped"))
    train.run(whole)
    with pytest.raises(EndedEarly):
        train.run(interrupted(stopped))
    train.run(stopped)
    held = [(job.out / "adapter_model.safetensors").read_bytes() for job in (whole, stopped)]
    assert held[0] == held[1]


@pytest.mark.parametrize("algorithm", ["npo", "rmu", "pdu"])
def test_two_processes_do_what_one_does(algorithm: str, start: Path, tmp_path: Path) -> None:
    """The same micro-batches, shared out; for PDU the dual variable changes by the mean, which is the same for both."""
    changes: Values = {"dual_update": "step"} if algorithm == "pdu" else {}
    alone = unlearning_job(config(algorithm, **changes), tmp_path, start, "alone")
    train.run(alone)
    together = unlearning_job(config(algorithm, execution={"devices": 2}, **changes), tmp_path, start, "together")
    inputs = {name: str(one.path) for name, one in together.inputs.items()}
    words = json.dumps({"config": together.config, "inputs": inputs, "out": str(together.out)})
    done = in_two_processes(TOGETHER, words, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    one, other = weights(alone.out), weights(together.out)
    assert all((one[name] - other[name]).abs().max() < 1e-4 for name in one)
    assert any((one[name] - value).abs().max() > 1e-3 for name, value in weights(start).items())
    logs = [[entry["loss"] for entry in read_rows(job.out / "train_log.jsonl") if "loss" in entry] for job in (alone, together)]
    assert logs[1] == pytest.approx(logs[0], abs=1e-3)


def test_few_rows_for_several_processes_are_one_message(start: Path, tmp_path: Path) -> None:
    job = unlearning_job(config("grad_ascent", batch_size=8, execution={"devices": 2}), tmp_path, start)
    data = job.inputs["data"].path / "forget.jsonl"
    data.write_text("".join(data.read_text().splitlines(keepends=True)[:6]))
    words = json.dumps({"config": job.config, "inputs": {n: str(i.path) for n, i in job.inputs.items()}, "out": str(job.out)})
    done = in_two_processes(TOGETHER, words, tmp_path)
    assert "6 rows are fewer than one batch of 8, and cannot be cut into 2 processes x micro-batches of 2" in done.stderr


# Two processes divide a model and its start by FSDP2 over gloo, and have every objective's gradient of the same micro-batch.
DIVIDED = """
import sys
from pathlib import Path
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from runtime.models import load_model, load_tokenizer
from runtime.train.losses.rmu import control_vector
from runtime.train.unlearn.objectives import OBJECTIVES, Passes, retain_loss
from runtime.train.unlearn.reference import start_of
from runtime.train.unlearn.sequences import answer_tokens, padded
from runtime.train.unlearn.settings import parse_unlearning
from tests.runtime.unlearning import FORGET, RETAIN, config

dist.init_process_group("gloo")
mesh, folder = init_device_mesh("cpu", (2,)), Path(sys.argv[1])
tokenizer = load_tokenizer(folder)

def part(rows, column="answer"):
    return padded([answer_tokens(row["prompt"], row[column], tokenizer) for row in rows], tokenizer.pad_token_id)

def divide(model):
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)

def gradients(given, divided):
    model = load_model(folder, torch.device("cpu")).train()
    start = start_of(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.01)
    if divided:
        divide(model)
        divide(start.model)
    inputs = {"forget": part(FORGET[:3]), "retain": part(RETAIN[-2:]), "alternate": part(FORGET[:3], "alternate")}
    passes = Passes(model, model, inputs, parse_unlearning(given).settings, start, "model.layers.0", control_vector(32, 2.0, 0))
    loss = OBJECTIVES[given["algorithm"]].forget(passes)
    if "retain_loss" in given:
        loss = loss + retain_loss(passes)
    loss.backward()
    whole = lambda gradient: gradient.full_tensor() if divided else gradient
    return {name: whole(weight.grad) for name, weight in model.named_parameters() if weight.grad is not None}

kl = {"retain_loss": "kl"}
for name, changes in {"npo": {}, "alternate_dpo": {}, "rmu": {}, "undial": {}, "grad_diff": kl, "pdu": {}, "ceu": {}}.items():
    alone, together = (gradients(config(name, **changes), divided) for divided in (False, True))
    assert set(alone) == set(together), name
    for weight in alone:
        assert torch.allclose(alone[weight], together[weight], atol=1e-5), (name, weight)
print("as one", flush=True)
dist.destroy_process_group()
"""


def test_a_model_divided_among_processes_has_the_same_gradients(start: Path, tmp_path: Path) -> None:
    done = in_two_processes(DIVIDED, str(start), tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "as one" in done.stdout
