"""How compiling grows with the study: CPU time and memory of `lethe`, beside the floor and beside Snakemake's dry run.

    python benchmarks/scale.py [CELLS ...] [--repeat N] [--no-snakemake]        default: 84 1008 10080 100800

A study of n cells has about 3n jobs: shared preparation, a training and two evaluations for each cell, and the report. Each
measurement is a process of its own, so that the time (user and system) and the peak of memory are those of all of it; of
several the quickest counts. Everything is in memory (/dev/shm, where there is one), since a disk's moods are larger than what
is measured. The floor (benchmarks/floor.py) writes the same bytes and decides nothing; what holds are ratios to it, of one run.
Snakemake plans the same graph (`-n --quiet`), and writes nothing: its like is `lethe validate`, which makes the whole plan with
every check and writes nothing either. It is installed into an environment of its own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
MEMORY = Path("/dev/shm")
PEER = HERE / ".snakemake"  # an environment, ignored by git
LETHE = [sys.executable, "-c", "import sys; from compiler.cli import main; sys.exit(main())"]
LARGEST_FLOOR = 20_000  # cells; beyond, what the floor reads would be gigabytes
LARGEST_PEER = 20_000  # cells; beyond, Snakemake takes minutes and gigabytes

COLD = "PYTHONDONTWRITEBYTECODE"  # where it is set, Python compiles itself anew at each start, which nobody's machine does

CELLS_A_SEED = 84  # 2 methods, 3 domains, 2 starts, 7 learning rates
SPEC = """\
study: scale
about: Many small trainings
cluster: local
catalog: [{specs}/catalog, {specs}/miniature]
axes:
  method: [gt_sft, on_rl]
  domain: [math, code, qa]
  start: [base, safe]
  scale: [micro]
  lr: [1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3, 3e-3]
  seed: [{seeds}]
evaluate: {{suites: [math, qa]}}
accept:
  - {{differ: tokens, across: method, why: each algorithm reads and samples in its own way}}
  - {{differ: tokens, across: domain, why: the domains' answers differ in length}}
tracking: {{wandb: disabled}}
define:
  algorithms: {{sft: {{extends: sft, settings: {{warmup_ratio: {warmup}}}}}}}
"""

SNAKEFILE = """\
METHODS, DOMAINS, STARTS, SUITES = ["gt_sft", "on_rl"], ["math", "code", "qa"], ["base", "safe"], ["math", "qa"]
RATES, SEEDS = ["1e-4", "2e-4", "3e-4", "5e-4", "1e-3", "2e-3", "3e-3"], list(range(1, {seeds} + 1))
CELL = "{{method}}_{{domain}}_{{start}}_lr{{lr}}_seed{{seed}}"

rule report:
    input:
        expand(
            "evaluate/" + CELL + ".{{suite}}",
            method=METHODS, domain=DOMAINS, start=STARTS, lr=RATES, seed=SEEDS, suite=SUITES,
        ),
        expand("baseline/{{start}}.{{suite}}", start=STARTS, suite=SUITES),
    output: "report"
    shell: "touch {{output}}"
rule prepare:
    output: "prepare/{{domain}}"
    shell: "touch {{output}}"
rule build:
    input: "prepare/{{domain}}"
    output: "build/{{method}}_{{domain}}"
    shell: "touch {{output}}"
rule pretrain:
    input: expand("prepare/{{domain}}", domain=DOMAINS)
    output: "pretrain/{{start}}"
    shell: "touch {{output}}"
rule baseline:
    input: "pretrain/{{start}}", "prepare/{{suite}}"
    output: "baseline/{{start}}.{{suite}}"
    shell: "touch {{output}}"
rule train:
    input: "pretrain/{{start}}", "build/{{method}}_{{domain}}"
    output: "train/" + CELL
    shell: "touch {{output}}"
rule evaluate:
    input: "train/" + CELL, "prepare/{{suite}}"
    output: "evaluate/" + CELL + ".{{suite}}"
    shell: "touch {{output}}"
"""


@dataclass(frozen=True)
class Taken:
    """CPU seconds (user and system) and peak of memory (MB of 10^6 bytes) of a whole process."""

    cpu: float
    peak: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", type=int, default=[84, 1008, 10080, 100800])
    parser.add_argument("--repeat", type=int, default=3, help="times that each is measured")
    parser.add_argument("--no-snakemake", action="store_true")
    options = parser.parse_args()
    peer = None if options.no_snakemake else snakemake()
    print("| cells | what | CPU s | peak MB | CPU / floor |\n|---|---|---|---|---|")
    for cells in options.cells:
        with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
            rows = measured(Path(folder), max(1, cells // CELLS_A_SEED), options.repeat, peer)
        floor = rows.get("floor")
        for what, taken in rows.items():
            ratio = f"{taken.cpu / floor.cpu:.2f}" if floor else ""
            print(f"| {cells:,} | {what} | {taken.cpu:.2f} | {taken.peak:.0f} | {ratio} |", flush=True)


def measured(folder: Path, seeds: int, repeat: int, peer: Path | None) -> dict[str, Taken]:
    """Everything that is measured of one study."""
    out, cells = folder / "generated", seeds * CELLS_A_SEED
    write_spec(folder, seeds, warmup=0.1)
    found = {"--help": quickest(repeat, [*LETHE, "--help"], folder)}
    found["validate"] = quickest(repeat, [*LETHE, "validate", "scale.yaml"], folder)
    found["compile, nothing there"] = quickest(repeat, [*LETHE, "compile", "scale.yaml"], folder, lost=out)
    found["compile, nothing changed"] = quickest(repeat, [*LETHE, "compile", "scale.yaml"], folder)
    found["diff, nothing changed"] = quickest(repeat, [*LETHE, "diff", "scale.yaml"], folder)
    if cells <= LARGEST_FLOOR:
        table, written = folder / "table", folder / "floor"
        subprocess.run([sys.executable, HERE / "table.py", out / "scale", table], check=True)
        found["floor"] = quickest(
            repeat, [sys.executable, str(HERE / "floor.py"), str(table), str(written)], folder, lost=written
        )
        assert (written / "manifest.sha256").read_bytes() == (out / "scale" / "manifest.sha256").read_bytes()
        shutil.rmtree(written)
        table.unlink()
    write_spec(folder, seeds, warmup=0.2)
    found["diff, one value changed"] = quickest(repeat, [*LETHE, "diff", "scale.yaml"], folder)
    found["compile, one value changed"] = quickest(1, [*LETHE, "compile", "scale.yaml"], folder)
    if peer and cells <= LARGEST_PEER:
        (folder / "Snakefile").write_text(SNAKEFILE.format(seeds=seeds))
        found["Snakemake -n --quiet"] = quickest(repeat, [str(peer), "-n", "--cores", "1", "--quiet"], folder)
    return found


def write_spec(folder: Path, seeds: int, warmup: float) -> None:
    specs = os.path.relpath(ROOT / "specs", folder)
    text = SPEC.format(specs=specs, seeds=", ".join(map(str, range(1, seeds + 1))), warmup=warmup)
    (folder / "scale.yaml").write_text(text)


def quickest(times: int, command: Sequence[str], folder: Path, lost: Path | None = None) -> Taken:
    """Run a command so many times in `folder`, each time without what is `lost` before."""
    found = []
    for _ in range(times):
        if lost:
            shutil.rmtree(lost, ignore_errors=True)
        found.append(taken(command, folder))
    return min(found, key=lambda one: one.cpu)


def taken(command: Sequence[str], folder: Path) -> Taken:
    """What a command takes. Raises CalledProcessError when it fails."""
    own = {
        "PYTHONPATH": str(ROOT), "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
    }  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name != COLD} | own
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    code = process.returncode = os.waitstatus_to_exitcode(status)
    if code:
        raise subprocess.CalledProcessError(code, command)
    return Taken(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6)


def snakemake() -> Path | None:
    """Snakemake's command, installed if it is not there; None where it cannot be had, which is said."""
    command = PEER / "bin" / "snakemake"
    if not command.exists():
        made = subprocess.run([sys.executable, "-m", "venv", PEER], check=False, capture_output=True)
        pip = [PEER / "bin" / "pip", "install", "--quiet", "snakemake"]
        if made.returncode or subprocess.run(pip, check=False, capture_output=True).returncode:
            shutil.rmtree(PEER, ignore_errors=True)
    if not command.exists():
        print("Snakemake cannot be installed here (pip install snakemake); it is left out.", file=sys.stderr)
        return None
    return command


if __name__ == "__main__":
    main()
