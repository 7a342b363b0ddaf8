"""Learning against forgetting, and forgetting against divergence, as plain text."""

from __future__ import annotations

from collections.abc import Iterable

from runtime.report.razor import PAPER, PUBLISHED, Law, Setting, Sweep
from runtime.report.seeds import Mean
from runtime.report.wording import MINUS, percent, points, printable, wrapped

FORMULAS = {"forward": "KL(start || model)", "reverse": "KL(model || start)"}
HEADING = ("", "", "runs", "trained", "elsewhere", "KL forward", "KL reverse", "front")


def blocks(found: Iterable[Sweep], confidence: str) -> list[list[str]]:
    """A table and its fits for each sweep."""
    return [_block(sweep, confidence) for sweep in found]


def _block(sweep: Sweep, confidence: str) -> list[str]:
    title = printable(f"learning and forgetting on {sweep.domain}, start {sweep.start}, scale {sweep.scale}")
    rows = [HEADING, *(_row(setting) for setting in sweep.settings)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{value:{width}}" for value, width in zip(row, widths, strict=True)) for row in rows]
    told = f"means over seeds ± half their {confidence} intervals by Student's t; KL in nats an answer; * on its method's front"
    return [title, *lines, told, *(line for law in sweep.laws.values() for line in wrapped(said(law, confidence)))]


def _row(setting: Setting) -> tuple[str, ...]:
    missing = "" if len(setting.runs) == setting.planned else f" of {setting.planned}"
    return (
        printable(setting.method),
        printable(setting.name),
        f"{len(setting.runs)}{missing}",
        percent(setting.learned.value) + _half(setting.learned, 100, 1),
        points(setting.change.value) + _half(setting.change, 100, 1),
        *(f"{spread.value:.3f}" + _half(spread, 1, 3) for spread in setting.kl.values()),
        "*" if setting.on_front else "",
    )


def _half(spread: Mean, times: float, digits: int) -> str:
    return "" if spread.half is None else f" ±{times * spread.half:.{digits}f}"


def interval(spread: Mean, times: float, digits: int) -> str:
    """The limits as [1.2, 3.4]; nothing over one seed."""
    if spread.low is None or spread.high is None:
        return ""
    return f"[{times * spread.low:.{digits}f}, {times * spread.high:.{digits}f}]".replace("-", MINUS)


def said(law: Law, confidence: str) -> str:
    """What a fit came to, beside what was published of the same one."""
    seeds = ""
    if law.r2 is not None:
        interval = "" if law.r2.half is None else f" [{law.r2.low:.2f}, {law.r2.high:.2f}] at {confidence}"
        seeds = f"; fitted seed by seed {law.r2.value:.2f}{interval} over {law.r2.n}"
    published = ", ".join(PUBLISHED[law.direction])
    return (
        f"forgetting on {FORMULAS[law.direction]}, degree 2: R² {law.fit.r2:.2f} over {law.fit.n} runs{seeds}; "
        f"rank correlation {law.spearman:.2f} (published: R² {published}; {PAPER})"
    )
