"""What several GPUs divide among them: it is asked for as transformers wants it, and what is written is whole again."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from trl.trainer.dpo_config import DPOConfig

from runtime.errors import JobError
from runtime.train.recipe import Execution, parse_recipe, sharding_fields, trl_config
from tests.runtime.toys import Values, same, untrained

DPO: Values = {
    "backend": "trl", "algorithm": "dpo", "seed": 0, "batch_size": 8, "model_dtype": "float32", "longest": 64,
    "overlong": "error",
    "args": {"bf16": False}, "execution": {"devices": 2, "sharding": "fsdp", "gradient_checkpointing": True},
}  # fmt: skip

# Two processes divide a model by FSDP2 over gloo, put it together again, and set it anew, as a training and its going on do.
DIVIDED = """
import sys
from pathlib import Path
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from runtime.models import load_model, load_tokenizer, save_checkpoint
from runtime.train.whole import broken_weight, is_divided, put_back, whole_weights

start, out = map(Path, sys.argv[1:])
dist.init_process_group("gloo")
mesh = init_device_mesh("cpu", (2,))
model = load_model(start, torch.device("cpu"))
assert not is_divided(model)
for layer in model.model.layers:
    fully_shard(layer, mesh=mesh)
fully_shard(model, mesh=mesh)
assert is_divided(model) and broken_weight(model) is None
weights = whole_weights(model)
assert bool(weights) == (dist.get_rank() == 0)
if dist.get_rank() == 0:
    save_checkpoint(model, load_tokenizer(start), out, weights)
dist.barrier()
with torch.no_grad():
    for weight in model.parameters():
        weight.mul_(0.0)
put_back(model, load_model(start, torch.device("cpu")).state_dict())
again = whole_weights(model)
if dist.get_rank() == 0:
    before = load_model(start, torch.device("cpu")).state_dict()
    assert all(torch.equal(again[name], before[name]) for name in again)
    print("whole again", flush=True)
if dist.get_rank() == 1:
    with torch.no_grad():
        model.model.norm.weight.to_local().fill_(float("nan"))
assert (broken_weight(model) == "model.norm.weight") == (dist.get_rank() == 1)
dist.destroy_process_group()
"""


def test_a_divided_model_is_written_and_set_as_a_whole(tmp_path: Path) -> None:
    start = untrained(tmp_path / "start")
    program = tmp_path / "program.py"
    program.write_text(DIVIDED)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(program)]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(start), str(tmp_path / "out")], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "whole again" in done.stdout
    assert same(tmp_path / "out", start)


def test_on_a_cpu_nothing_would_be_divided_and_so_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="fsdp divides a training among GPUs, and there is none"):
        trl_config(DPOConfig, parse_recipe(DPO), tmp_path, "run", 8)


def test_one_device_has_nothing_to_divide(tmp_path: Path) -> None:
    alone = parse_recipe({**DPO, "execution": {**DPO["execution"], "devices": 1}})
    assert not trl_config(DPOConfig, alone, tmp_path, "run", 8).fsdp


def test_transformers_takes_what_is_asked_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its own reading of the arguments, which needs no GPU: FSDP2, block by block, with checkpoints that are whole."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    asked = sharding_fields(Execution(devices=2, sharding="fsdp", gradient_checkpointing=True))
    monkeypatch.undo()
    assert set(asked) <= {field.name for field in fields(DPOConfig)}
    taken = DPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, **asked)
    assert taken.fsdp_plugin_args == {
        "fsdp_version": 2, "auto_wrap_policy": "TRANSFORMER_BASED_WRAP", "reshard_after_forward": True,
        "activation_checkpointing": True, "state_dict_type": "FULL_STATE_DICT", "cpu_ram_efficient_loading": False,
    }  # fmt: skip
    assert not taken.gradient_checkpointing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"execution": {"sharding": "zero3"}}, "there is no 'zero3'; there are none, fsdp"),
        ({"args": {"fsdp": True}}, "there is no 'fsdp'"),
    ],
)
def test_a_mistake_is_one_message(change: Values, message: str, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=message):
        trl_config(DPOConfig, parse_recipe({**DPO, "execution": {}, **change}), tmp_path, "run", 8)
