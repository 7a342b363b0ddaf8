"""The toy study on a Slurm cluster, in an environment that the catalog knows: its lock, and how to change that."""

from __future__ import annotations

from tests.compiler.project import Project

LOCK = "torch==2.13.0\ntransformers==5.10.4\ntrl==1.12.0\nmath-verify==0.9.0\n"
SMALL = """\
environments:
  small:
    about: Enough for the toy study
    python: "3.11"
    lock: [../../locks/small.lock]
    imports: [torch, transformers]
    provides: [gpu, network]
"""


def lock(project: Project, text: str) -> None:
    (project.root / "locks/small.lock").write_text(text)
