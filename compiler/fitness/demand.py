"""What a job of the plan takes of a GPU and of its node, from its settings, its resources and its model.

Of a GPU's memory there are two numbers: `gpu_least`, which no way of laying the job out over its GPUs avoids, and what it
likely takes as its backend lays it out. A job over the first cannot run; one over the second probably will not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compiler.fitness import memory
from compiler.fitness.memory import GB, HALF, SINGLE
from compiler.fitness.models import Model
from compiler.plan.plan import Job

PROCESS = 2.5 * GB  # a Python process with torch and a CUDA context, on the host; measured ones have 2 to 3 GB
REPLICATED = ("native", "trl")  # backends that hold all of a training's state on every GPU unless told `sharding`
REFERRING = ("dpo", "undial")  # trainers that compare with a frozen or averaged copy, whatever their settings
SUMMED = ("npo", "alternate_dpo")  # those that do where `reference: model` tells them not to compute its sums before
CORRECTING = "lmcleaner"  # which holds, in place of Adam's moments, what it carries, what it has put aside, a product, the end
AGAINST_START = ("kl", "kl_answer", "embed_diff")  # losses on the retain set that compare with one, in any trainer


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes on each GPU, by what they are for, the least of them that there is a way with, and bytes on the node."""

    gpu: Mapping[str, float]
    gpu_least: float
    node: float

    @property
    def gpu_whole(self) -> float:
        return sum(self.gpu.values())


def need(job: Job, model: Model, gpu_memory: float | None, teacher: Model | None = None) -> Need | None:
    """The memory of a job that reads or trains a model; None for other jobs. `gpu_memory` is that of one GPU, in bytes.

    `teacher` is the other model that a training learns from, where there is one and its size is known.
    """
    if job.kind == "train":
        own = _training(job, model, gpu_memory or 0.0)
        return _beside(job, own, teacher) if teacher else own
    if job.backend == "vllm":
        return _sampling(job, model, gpu_memory or 0.0)
    if job.kind in ("generate", "evaluate"):
        weights = HALF * model.parameters
        return Need({"weights": weights}, weights, PROCESS + weights)
    if job.kind in ("merge", "convert"):
        return Need({}, 0.0, PROCESS + SINGLE * model.parameters)  # both read float32
    return None


# --- training --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _State:
    """Bytes of a training that stay from step to step, over all GPUs."""

    weights: float
    gradients: float
    moments: float
    reference: float

    @property
    def whole(self) -> float:
        return self.weights + self.gradients + self.moments + self.reference


def _training(job: Job, model: Model, gpu_memory: float) -> Need:
    """The likely sum is as if vLLM gave nothing back while the weights are updated, which is near what was measured (50.5 GiB).

    The least is what either phase takes when the other one has given everything back that it can.
    """
    state, gpus = _state(job, model), _gpus(job)
    whole = job.backend in REPLICATED and job.execution.get("sharding") in (None, "none")
    shards = 1 if whole else gpus
    shared = float(job.execution.get("gpu_memory_utilization") or 0) * gpu_memory  # vLLM's, in training from samples
    offload = bool(job.execution.get("offload"))
    parts = {
        "weights": state.weights / shards, "gradients": state.gradients / shards, "optimizer": state.moments / shards,
        "reference model": state.reference / shards, **_passing(job, model, shards > 1), "vLLM": 0.0 if offload else shared,
    }  # fmt: skip
    kept = 0.0 if offload else (state.weights + state.moments + state.reference) / gpus  # while vLLM samples
    least = max(state.whole / gpus, kept + shared)
    return Need({name: size for name, size in parts.items() if size}, least, _training_node(job, model, state))


def _beside(job: Job, own: Need, teacher: Model) -> Need:
    """A training's memory with its teacher's: on GPUs of the teacher's own, the fuller of both kinds; else on every GPU."""
    alone = int(job.execution.get("teacher_devices") or 0)
    each = SINGLE if job.settings.get("teacher_precision") == "float32" else HALF
    weights = each * teacher.parameters / int(job.execution.get("teacher_tensor_parallel") or 1)
    node = own.node + each * teacher.parameters
    if not alone:
        return Need({**own.gpu, "teacher": weights}, own.gpu_least + weights / _gpus(job), node)
    theirs = Need({"teacher": weights}, weights, node)
    gpu = own.gpu if own.gpu_whole >= theirs.gpu_whole else theirs.gpu
    return Need(gpu, max(own.gpu_least, theirs.gpu_least), node)


def _state(job: Job, model: Model) -> _State:
    each = memory.per_weight(str(job.settings.get("precision")))
    rank = (job.settings.get("adapter") or {}).get("rank")
    adapter = memory.adapter_weights(rank, model.shape) if rank and model.shape else 0.0
    trained = adapter if rank else model.parameters
    paged = str(job.settings.get("optimizer")).startswith("paged")  # its moments may leave the GPU
    return _State(
        weights=each.weight * (model.parameters + adapter), gradients=each.gradient * trained,
        moments=0.0 if paged else (2 if job.what == CORRECTING else 1) * each.moments * trained,
        reference=0.0 if rank or not _refers(job) else each.weight * model.parameters,  # an adapter's start is its reference
    )  # fmt: skip


def _refers(job: Job) -> bool:
    if job.what == "sdft":
        return bool(job.settings.get("teacher") != "student")  # else the student is its own
    if job.what in SUMMED and job.execution.get("reference") == "model":
        return True
    against = job.settings.get("retain_loss") in AGAINST_START and job.settings.get("alpha", 1) > 0
    return job.what in REFERRING or against or (job.what == "grpo" and job.settings.get("kl_coef", 0) > 0)


def _passing(job: Job, model: Model, sharded: bool) -> dict[str, float]:
    """What one micro-batch takes on its way; unknown without the model's layers or the rows' length."""
    row, shape = row_tokens(job.settings), model.shape
    if row is None or shape is None:
        return {}
    tokens = _micro_rows(job) * row
    return {
        "activations": memory.activations(tokens, shape, bool(job.execution.get("gradient_checkpointing"))),
        "scores over the vocabulary": memory.logits(tokens, shape.vocabulary),
        "gathered weights": memory.gathered(model.parameters, shape) if sharded else 0.0,
    }


def row_tokens(settings: Mapping[str, Any]) -> int | None:
    """The most tokens of one row of a training: all of it, or a prompt with one answer."""
    whole: int | None = settings.get("max_length")
    prompt, answer = settings.get("max_prompt_tokens"), settings.get("max_answer_tokens")
    return whole if prompt is None or answer is None else int(prompt + answer)


def _micro_rows(job: Job) -> int:
    """Rows that pass through a GPU together; a preference is two."""
    rows = job.settings["batch_size"] * job.settings.get("group_size", job.settings.get("rollouts_per_prompt", 1))
    micro = int(job.execution.get("micro_batch_size") or max(1, rows // _gpus(job)))
    return micro * (2 if any(edge.type == "dataset.preference" for edge in job.inputs) else 1)


def _training_node(job: Job, model: Model, state: _State) -> float:
    """Every process reads the whole model first; later vLLM's engines keep their weights there while the trainer works."""
    gpus = -(-_gpus(job) // int(job.resources["nodes"]))
    reading = (1 + gpus) * PROCESS + gpus * (state.weights + state.reference)
    parallel = job.execution.get("tensor_parallel")
    if not parallel:
        return reading
    # The driver, and for each GPU a trainer, a server of vLLM's and its engine; and the workers of data and of rewards.
    processes = 1 + 3 * gpus + 2 * int(job.execution.get("workers") or 0)
    asleep: float = gpus / parallel * HALF * model.parameters
    moved = (state.weights + state.moments) / int(job.resources["nodes"]) if job.execution.get("offload") else 0.0
    return max(reading, processes * PROCESS + asleep + moved)


# --- sampling --------------------------------------------------------------------------------------------------------


def _sampling(job: Job, model: Model, gpu_memory: float) -> Need:
    """vLLM takes its whole share of the memory: what is left beside the weights is for keys and values."""
    gpus = job.execution["tensor_parallel"]
    weights = HALF * model.parameters / gpus
    rest = max(0.0, job.execution["gpu_memory_utilization"] * gpu_memory - weights)
    return Need({"weights": weights, "vLLM's cache": rest}, weights + _sampling_room(job, model), (2 + gpus) * PROCESS)


def _sampling_room(job: Job, model: Model) -> float:
    """What vLLM needs on each GPU beside the weights, to write a single answer of full length."""
    if model.shape is None:
        return 0.0
    gpus = int(job.execution["tensor_parallel"])
    cache = memory.cache_token(model.shape) * int(job.execution["max_model_len"]) / gpus
    return cache + memory.sampling_workspace(model.shape, gpus)


def _gpus(job: Job) -> int:
    """GPUs that share a job's work, but for those that a teacher has for itself."""
    return max(1, int(job.resources["nodes"] * job.resources["gpus"]) - int(job.execution.get("teacher_devices") or 0))


def share(job: Job) -> float:
    """The part of a GPU's memory that a job may take."""
    return float(job.execution["gpu_memory_utilization"]) if job.backend == "vllm" else 1.0


def shown(parts: Mapping[str, Any]) -> str:
    """Bytes by what they are for, the largest first, in GB."""
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    return ", ".join(f"{name} {size / GB:.1f}" for name, size in ordered if size >= 0.05 * GB)
