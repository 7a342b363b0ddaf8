"""How long compiling takes as a study grows, beside the floor: writing the same files from memory.

    python benchmarks/compile.py [CELLS ...]        default: 18 180 900 cells

Both are timed in one run, in CPU seconds of this process, so that the ratio holds on a busy machine. The last line is what
`lethe validate specs/phase1.yaml` takes with all checks, in a process of its own: imports, options of packages and all.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compiler.output.write import write_tree
from compiler.pipeline import Compiled, compile_study

ROOT = Path(__file__).parent.parent
SHIPPED = "specs/phase1.yaml"
CELLS_A_DOMAIN = 6  # three methods, two starts

SPEC = """\
study: grown
about: The miniature with many domains
cluster: local
catalog: [{root}/specs/catalog, {root}/specs/miniature]
axes: {{method: [gt_sft, off_rl, on_rl], domain: [{names}], start: [base, safe], scale: [micro]}}
evaluate: {{suites: [math, code, qa, safety]}}
tracking: {{wandb: disabled}}
define:
  domains:
{domains}"""

DOMAIN = (
    "    {name}: {{about: more sums, grader: math, settings: {{source: arithmetic, seed: {seed}, train: 4000, eval: 400}}}}\n"
)


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:]] or [18, 180, 900]
    print(f"{'cells':>6} {'jobs':>6} {'compile s':>10} {'write s':>8} {'again s':>8} {'floor s':>8} {'all / floor':>12}")
    for cells in sizes:
        with tempfile.TemporaryDirectory() as folder:
            print(measure(Path(folder), cells), flush=True)
    print(f"{SHIPPED}: {checked(ROOT / SHIPPED):.2f} s of CPU, imports included")


def measure(folder: Path, cells: int) -> str:
    """One row: compile, write, write again with nothing changed, and the floor, for about so many cells."""
    spec = folder / "grown.yaml"
    names = [f"d{number}" for number in range(max(1, cells // CELLS_A_DOMAIN))]
    domains = "".join(DOMAIN.format(name=name, seed=number) for number, name in enumerate(names))
    spec.write_text(SPEC.format(root=ROOT, names=", ".join(names), domains=domains))
    compiled, compiling = timed(lambda: compile_study(spec))
    _, writing = timed(lambda: write_tree(folder / "generated", compiled.files))
    _, again = timed(lambda: write_tree(folder / "generated", compiled.files))
    _, floor = timed(lambda: write_plainly(folder / "floor", compiled))
    plan = compiled.plan
    ratio = (compiling + writing) / floor
    sizes = f"{len(plan.cells):>6} {len(plan.jobs):>6}"
    return f"{sizes} {compiling:>10.2f} {writing:>8.2f} {again:>8.2f} {floor:>8.3f} {ratio:>12.1f}"


def checked(spec: Path) -> float:
    """CPU seconds of a process that compiles a study in memory, with every check."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "compiler.cli", "validate", str(spec)], check=True, capture_output=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def write_plainly(folder: Path, compiled: Compiled) -> None:
    """The least that any compiler must do: make the folders, and write each file once."""
    for place in {(folder / name).parent for name in compiled.files}:
        place.mkdir(parents=True, exist_ok=True)
    for name, text in compiled.files.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
