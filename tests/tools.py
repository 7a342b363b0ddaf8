"""The machine's own programs, without Slurm's, for tests that must not reach a Slurm that happens to be here."""

from __future__ import annotations

from pathlib import Path

SLURM = ("sacct", "sacctmgr", "salloc", "sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")


def without_slurm(folder: Path) -> Path:
    """A folder of links to the machine's programs, to stand alone on PATH."""
    if not folder.exists():
        folder.mkdir(parents=True)
        for place in (Path("/usr/bin"), Path("/bin")):
            for program in place.iterdir():
                link = folder / program.name
                if program.name not in SLURM and not link.is_symlink():
                    link.symlink_to(program)
    return folder
