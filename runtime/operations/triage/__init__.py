"""Why a study's jobs failed: those that failed alike are one group, described by what its cells share, with what helps.

What failures look like stands in signatures.yaml: the states of Slurm, exit codes, and what logs say at their end.
"""

from __future__ import annotations

from runtime.operations.triage.groups import Group, groups_of
from runtime.operations.triage.show import show
from runtime.operations.triage.signatures import Signature, read_signatures

__all__ = ["Group", "Signature", "groups_of", "read_signatures", "show"]
