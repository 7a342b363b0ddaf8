"""What this runtime can do, in `manifest.json`, which the compiler reads too: job kinds, backends, algorithms, data sources,
and graders, each with the packages that it needs, and their versions ("" is any).

A kind's version is part of the fingerprint of its jobs: raise it when the same config would now give another result.
`warm` is true for kinds whose imports take so long that a run on this machine keeps a warm process for them, `external` for
kinds that another program does between `begin` and `finish`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def manifest() -> Mapping[str, Any]:
    """Return the manifest: `kinds` by name, each with `version` and `about`; `backends`; `algorithms`; `sources`; `graders`."""
    content: Mapping[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return content
