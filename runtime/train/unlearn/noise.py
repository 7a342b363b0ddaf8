"""Gaussian noise for the one release of corrected weights, of the scale that (epsilon, delta) asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch


def scales(noise: Mapping[str, Any]) -> tuple[float, float]:
    """The standard deviations along the noise's own directions and across them: one and the same where it has none.

    Whole: Delta/epsilon sqrt(2 ln(1.25/delta)) (Dwork and Roth 2014, theorem A.1, for epsilon up to 1). With directions, as the
    draft has it: along them 2 Delta/epsilon sqrt(2 ln(2.5/delta)), and that times `across` everywhere else.
    """
    share = noise["sensitivity"] / noise["epsilon"]
    if noise["directions"] is None:
        whole = share * math.sqrt(2 * math.log(1.25 / noise["delta"]))
        return whole, whole
    along = 2 * share * math.sqrt(2 * math.log(2.5 / noise["delta"]))
    return along, noise["directions"]["across"] * along


def drawn(size: int, noise: Mapping[str, Any], seed: int) -> torch.Tensor:
    """So many numbers of noise, which the seed decides. Its directions are drawn first, from the same seed, and orthonormal."""
    generator = torch.Generator().manual_seed(seed)
    along, across = scales(noise)
    if noise["directions"] is None:
        whole: torch.Tensor = along * torch.randn(size, generator=generator)
        return whole
    basis, _ = torch.linalg.qr(torch.randn(size, noise["directions"]["rank"], generator=generator))
    everywhere = torch.randn(size, generator=generator)
    inside = basis @ (basis.T @ everywhere)
    found: torch.Tensor = along * inside + across * (everywhere - inside)
    return found
