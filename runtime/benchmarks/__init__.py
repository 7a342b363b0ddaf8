"""What unlearning is measured on: TOFU, MUSE and WMDP as they are published, and made-up authors that need no network.

Each makes rows in the forms that trainings and metrics read: `train.jsonl` (what is to be forgotten, or all there is to learn),
`retain.jsonl`, and a file of `eval/` for each set that metrics read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runtime.benchmarks import authors, muse, tofu, wmdp
from runtime.benchmarks.sets import Sets

SetMaker = Callable[[Mapping[str, Any]], Sets]

SOURCES: Mapping[str, SetMaker] = {
    "authors": authors.make_sets,
    "muse": muse.make_sets,
    "tofu": tofu.make_sets,
    "wmdp": wmdp.make_sets,
}
