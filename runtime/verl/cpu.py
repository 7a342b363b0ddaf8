"""A platform for VeRL 0.9 on a processor, for its own registry (verl/plugin/platform), so that its SFT trains without a GPU.

Name this module in VERL_USE_EXTERNAL_MODULES; VeRL imports it before anything else. The config and the command are those of a
job on GPUs. VeRL's engines are registered for accelerators only, so the one for CUDA is asked for; it finds its device here.
Only supervised training: VeRL samples with vLLM, which needs a GPU.
"""

from __future__ import annotations

import os
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed
from verl.plugin.platform import PlatformBase, PlatformRegistry
from verl.utils import device

ENVIRONMENT = {"VERL_PLATFORM": "cpu", "VERL_ENGINE_DEVICE": "cuda", "VERL_ENGINE_VENDOR": "nvidia"}


def _nothing(*_: Any, **__: Any) -> None:
    """What a processor does where an accelerator empties its cache, or is told which one to be."""


def _zero(*_: Any, **__: Any) -> int:
    return 0


def _device_module() -> types.ModuleType:
    """`torch.cpu`, and what VeRL asks of `torch.cuda` beyond it: sizes of a memory that is not there."""
    module = types.ModuleType("runtime.verl.cpu.device")
    module.__dict__.update({name: getattr(torch.cpu, name) for name in dir(torch.cpu) if not name.startswith("_")})
    for name in ("set_device", "synchronize", "empty_cache", "ipc_collect", "reset_peak_memory_stats", "manual_seed"):
        setattr(module, name, _nothing)
    for name in ("memory_allocated", "memory_reserved", "max_memory_allocated", "max_memory_reserved"):
        setattr(module, name, _zero)
    module.__dict__.update(
        current_device=lambda: "cpu", get_device_name=lambda: "CPU", is_available=lambda: True, mem_get_info=lambda *_: (0, 0),
        get_rng_state=torch.get_rng_state, set_rng_state=torch.set_rng_state,
    )  # fmt: skip
    return module


@PlatformRegistry.register(platform="cpu")
class PlatformCPU(PlatformBase):
    """A processor, as VeRL's registry asks for platforms."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module = _device_module()

    def is_available(self) -> bool:
        return True

    def current_device(self) -> Any:
        """A name where others have a number: torch takes a number for an accelerator."""
        return "cpu"

    def device_count(self) -> int:
        return 1

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    def ray_resource_name(self) -> str:
        return "CPU"

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        return False

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    set_device = synchronize = set_allocator_settings = empty_cache = _nothing
    profiler_start = profiler_stop = cudart = _nothing


def _start_process_group(backend: str, **given: Any) -> None:
    """VeRL writes "cpu:gloo,DEVICE:BACKEND", which names the processor twice here."""
    _init_process_group("gloo" if backend == "cpu:gloo,cpu:gloo" else backend, **given)


def _set_device(config: Any) -> None:
    """VeRL leaves `trainer.device` as it is, "cuda", where it finds no accelerator."""
    config.trainer.device = "cpu"


for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)
_init_process_group = torch.distributed.init_process_group
torch.distributed.init_process_group = _start_process_group  # type: ignore[assignment]
device.auto_set_device = _set_device
