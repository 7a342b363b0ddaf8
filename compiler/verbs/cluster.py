"""`lethe cluster probe`: a first profile of the cluster that this machine belongs to."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict

ABOUT = "write a first profile of a new cluster, from what its Slurm says of itself"

PROBING = """\
It asks sinfo, scontrol and, where there is accounting, sacctmgr, and prints a definition that extends the catalog's generic
cluster: partitions with their time limits, GPUs by the site's names, your account, how many jobs you may submit, and classes of
resources that fit the nodes. What Slurm does not know (GPUs' memory, modules, quotas, deletions) is left to you, and marked.
Nothing is submitted.

for instance, on a login node:
  lethe cluster probe > specs/catalog/clusters/mine.yaml      then name it in a spec, and: lethe validate SPEC
  lethe cluster probe --name mine                             another name than Slurm's own
  lethe cluster probe --json                                  the facts, for scripts
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lethe cluster` can be told."""
    parser.add_argument("what", choices=["probe"], help="probe: ask this machine's Slurm")
    parser.add_argument("--name", metavar="NAME", help="of the profile; default: the cluster's own")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.epilog = f"{PROBING}\n{parser.epilog or ''}"


def run(options: argparse.Namespace) -> int:
    """Print the profile. Raises ProbeError where there is no Slurm that answers."""
    from compiler.probe.ask import ask
    from compiler.probe.facts import facts_of
    from compiler.probe.profile import as_name, profile

    facts = facts_of(ask())
    if options.json:
        print(json.dumps(asdict(facts), indent=1))
    else:
        print(profile(facts, as_name(options.name or facts.name), "SCRATCH" in os.environ), end="")
    return 0
