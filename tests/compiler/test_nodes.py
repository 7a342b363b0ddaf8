"""Jobs on several nodes: their devices, their cost, the caps of the site, their scripts, and who cannot use them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from compiler.diagnostics import Diagnostic, SpecError
from compiler.output.emit import config_text
from compiler.pipeline import Compiled, compile_study
from compiler.plan.plan import Job
from tests.compiler.project import BIN
from tests.specs.plans import SPECS

LONG = {"partition": "long", "time": "1-00:00:00", "cpus": 16, "mem": "128G", "gpus": 2, "gpu": "a100l"}


def compiled(folder: Path, cluster: str = "mila", method: str = "gt_sft", **resources: Mapping[str, Any]) -> Compiled:
    """One cell, with other classes of resources."""
    study = {
        "study": "one", "about": "One cell", "cluster": cluster, "catalog": [f"{SPECS}/catalog"],
        "axes": {"method": [method], "domain": ["gsm8k"], "start": ["safe"], "scale": ["1.7b"]},
        "evaluate": {"suites": ["task"]},
        "define": {"clusters": {cluster: {"extends": cluster, "resources": resources}}},
    }  # fmt: skip
    (folder / "one.yaml").write_text(json.dumps(study, indent=1), encoding="utf-8")
    return compile_study(folder / "one.yaml")


def wrong(folder: Path, cluster: str = "mila", method: str = "gt_sft", **resources: Mapping[str, Any]) -> list[Diagnostic]:
    with pytest.raises(SpecError) as stopped:
        compiled(folder, cluster, method, **resources)
    return list(stopped.value.diagnostics)


def training(found: Compiled) -> Job:
    return [job for job in found.plan.jobs if job.kind == "train"][-1]


def test_devices_and_hours_are_those_of_all_nodes_and_the_result_is_the_same(tmp_path: Path) -> None:
    one, two = (training(compiled(tmp_path, train={**LONG, "nodes": nodes})) for nodes in (1, 2))
    assert (one.execution["devices"], two.execution["devices"], two.execution["nodes"]) == (2, 4, 2)
    assert two.cost["gpu_hours"] == 2 * one.cost["gpu_hours"] == 2 * 2 * 24
    assert two.cost["gpu_memory"] < one.cost["gpu_memory"] and two.cost["node_memory"] <= one.cost["node_memory"]
    trainer = yaml.safe_load(config_text(two))["trainer"]
    assert (trainer["nnodes"], trainer["n_gpus_per_node"]) == (2, 2)
    assert one.fingerprint == two.fingerprint


@pytest.mark.parametrize("method", ["gt_sft", "on_rl"])
def test_a_script_of_two_nodes_asks_for_them_and_starts_on_each(tmp_path: Path, method: str) -> None:
    found = compiled(tmp_path, method=method, train={**LONG, "nodes": 2}, rl={**LONG, "nodes": 2})
    name = f"jobs/{training(found).id}.sh"
    text = found.files[name]
    assert "#SBATCH --nodes=2\n#SBATCH --ntasks=2\n#SBATCH --ntasks-per-node=1\n#SBATCH --cpus-per-task=16\n" in text
    assert "set -euo pipefail\n" in text and "\nexport OMP_NUM_THREADS=8 " in text
    assert (
        'head=$(scontrol show hostnames "${SLURM_JOB_NODELIST:?}" | sed -n 1p)\nport=$((10000 + SLURM_JOB_ID % 110 * 200))'
        in text
    )
    assert "srun --nodes=2 --ntasks=2 --ntasks-per-node=1 --cpus-per-task=16 --kill-on-bad-exit=1" in text
    if method == "gt_sft":
        assert '--rdzv-id="$SLURM_JOB_ID" --rdzv-backend=c10d --rdzv-endpoint="$head:$port"' in text
        assert "--nnodes=2 --nproc-per-node=2 " in text
    else:
        assert "--marked" in text and "ray_cluster --nodes=2 --cpus=32 --gpus=2 " in text and "RAY_AUTH_MODE=token" in text


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("method", ["gt_sft", "sf_sft", "self", "on_rl", "off_rl"])
def test_every_script_is_one_that_bash_and_shellcheck_have_nothing_against(tmp_path: Path, method: str, nodes: int) -> None:
    found = compiled(tmp_path, method=method, train={**LONG, "nodes": nodes}, rl={**LONG, "nodes": nodes})
    texts = {name: text for name, text in found.files.items() if name.startswith("jobs/") and name.endswith(".sh")}
    scripts = {tmp_path / name.replace("/", "."): text for name, text in texts.items()}
    for path, text in scripts.items():
        path.write_text(text)
        assert "\nset -euo pipefail\n" in text
        assert text.rstrip().rpartition("\nexec ")[1], f"{path.name}: a signal would end bash and not reach the program"
        assert subprocess.run(["bash", "-n", path], capture_output=True, check=False).returncode == 0
    checked = subprocess.run([BIN / "shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("cluster", "method", "resources", "message"),
    [
        ("mila", "gt_sft", {"train": {"nodes": 2}}, "gives one user 2 GPUs; resources 'train' ask for 2 x 2"),
        ("mila", "gt_sft", {"train": {**LONG, "nodes": 8}}, "'batch_size' of the"),
        ("mila", "sf_sft", {"teacher": {**LONG, "nodes": 2}}, "and 'generate' of backend 'vllm' runs on one"),
        ("mila", "gt_sft", {"train": {**LONG, "nodes": 0}}, "'resources.train.nodes' is 0; expected at least 1"),
    ],
)
def test_what_cannot_be_is_said_where_it_is_asked_for(
    tmp_path: Path, cluster: str, method: str, resources: dict[str, Any], message: str
) -> None:
    found = wrong(tmp_path, cluster, method, **resources)
    assert any(message in said.message for said in found), [said.message for said in found]


def test_this_machine_is_one_node(tmp_path: Path) -> None:
    found = wrong(tmp_path, "local", train={"time": "1:00:00", "cpus": 1, "mem": "4G", "nodes": 2})
    assert any("ask for 2 nodes, and cluster 'local' is this machine" in said.message for said in found)
