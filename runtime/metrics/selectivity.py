"""Whether what is lost is what was to be forgotten (an extra of LMCleaner's fork of open-unlearning)."""

from __future__ import annotations

import math


def selectivity(forget: float, forget_start: float, retain: float, retain_start: float) -> float:
    """The relative drop of probability on the forget set over that on the retain set, each since the start.

    Above 1: the forget set loses more; the higher, the more selective. Negative where one lost while the other gained;
    infinite where the retain set is as before, NaN where both are, or where the start gave one of the sets no probability.
    """
    if not forget_start or not retain_start:
        return math.nan
    lost, paid = 1 - forget / forget_start, 1 - retain / retain_start
    return lost / paid if paid else math.copysign(math.inf, lost) if lost else math.nan
