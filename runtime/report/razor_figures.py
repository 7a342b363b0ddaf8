"""The figures of a sweep: learning against forgetting with each method's front, and forgetting against a divergence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from runtime.report.marks import COLOURS, shape
from runtime.report.razor import Law, Setting, Sweep
from runtime.report.razor_tables import FORMULAS, said
from runtime.report.svg import Scale, drawing, element, text, ticks, titled
from runtime.report.wording import percent, points

WIDTH, HEIGHT = 540.0, 430.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 522.0, 34.0, 376.0
SMALL, MIDDLE, LARGE = 3.2, 4.5, 6.5
CURVE = 60  # pieces of a fitted curve


@dataclass(frozen=True)
class _Axis:
    """Its ticks, how they are written, and what it shows."""

    ticks: Sequence[float]
    written: Callable[[float], str]
    shows: str


@dataclass(frozen=True)
class Drawn:
    """A sweep's drawings: of its fronts, and of each law by its direction; `said` is what a fit came to."""

    identity: str
    frontier: Markup
    laws: Sequence[tuple[str, Markup]]
    said: Mapping[str, str]


def figures(sweep: Sweep, identity: str, confidence: str) -> Drawn:
    """All of them; identities of drawings must be unique on the page."""
    laws = [(name, law_figure(sweep, law, f"{identity}-{name}")) for name, law in sweep.laws.items()]
    told = {name: said(law, confidence) for name, law in sweep.laws.items()}
    return Drawn(identity, frontier(sweep, f"{identity}-front"), laws, told)


def frontier(sweep: Sweep, identity: str) -> Markup:
    """Each setting's score on the trained domain against the change elsewhere; a method's front is a line."""
    scores, changes = [run.learned for run in sweep.runs], [run.change for run in sweep.runs]
    across = _Axis(ticks(min(scores), max(scores)), lambda v: f"{100 * v:g}", f"score on {sweep.domain} after training, %")
    up = _Axis(ticks(min([0.0, *changes]), max([0.0, *changes])), _whole, "change on the other suites, points")
    x, y = Scale(across.ticks[0], across.ticks[-1], LEFT, RIGHT), Scale(up.ticks[0], up.ticks[-1], BOTTOM, TOP)
    looks = {method: i for i, method in enumerate(sweep.methods)}
    marks = [_dot(looks[s.method], x(r.learned), y(r.change), r.cell.id) for s in sweep.settings for r in s.runs]
    marks += [_front(sweep, method, look, x, y) for method, look in looks.items()]
    marks += [_mean(setting, looks[setting.method], x, y) for setting in sweep.settings]
    title = f"Learning against forgetting on {sweep.domain}; start {sweep.start}, scale {sweep.scale}"
    return drawing(WIDTH, HEIGHT, title, identity, _axes(across, up, x, y), *marks, *_legend(sweep))


def law_figure(sweep: Sweep, law: Law, identity: str) -> Markup:
    """Each run's forgetting against how far it has moved, with the fitted polynomial."""
    moves = [run.kl[law.direction] for run in sweep.runs]
    curve = [max(moves) * piece / CURVE for piece in range(CURVE + 1)]
    drawn = [(kl, law.fit(kl)) for kl in curve if kl >= min(moves)]
    losses = [run.forgotten for run in sweep.runs] + [value for _, value in drawn]
    across = _Axis(ticks(0.0, max(moves)), lambda v: f"{v:g}", f"{FORMULAS[law.direction]} on {sweep.domain}, nats an answer")
    up = _Axis(ticks(min([0.0, *losses]), max([0.0, *losses])), _whole, "forgotten on the other suites, points")
    x, y = Scale(across.ticks[0], across.ticks[-1], LEFT, RIGHT), Scale(up.ticks[0], up.ticks[-1], BOTTOM, TOP)
    looks = {method: i for i, method in enumerate(sweep.methods)}
    line = element("polyline", {"points": " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in drawn), "class": "fit"})
    runs = [(looks[setting.method], run) for setting in sweep.settings for run in setting.runs]
    marks = [_dot(look, x(run.kl[law.direction]), y(run.forgotten), run.cell.id, MIDDLE) for look, run in runs]
    told = text(RIGHT, BOTTOM - 10, f"R² {law.fit.r2:.2f}, {law.fit.n} runs", "strong halo", "end")
    title = f"Forgetting against {FORMULAS[law.direction]} on {sweep.domain}; start {sweep.start}, scale {sweep.scale}"
    return drawing(WIDTH, HEIGHT, title, identity, _axes(across, up, x, y), line, *marks, told, *_legend(sweep))


def _whole(value: float) -> str:
    return points(value).removesuffix(".0")


def _dot(look: int, x: float, y: float, name: str, radius: float = SMALL) -> Markup:
    return titled(name, {}, element("path", {"d": shape(look, x, y, radius), "class": f"dot m{look % COLOURS}"}))


def _front(sweep: Sweep, method: str, look: int, x: Scale, y: Scale) -> Markup:
    """A line through the settings of a method's front, from the one that learns least."""
    on = sorted((s.learned.value, s.change.value) for s in sweep.settings if s.method == method and s.on_front)
    places = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in on)
    return element("polyline", {"points": places, "class": f"front m{look % COLOURS}"})


def _mean(setting: Setting, look: int, x: Scale, y: Scale) -> Markup:
    learned, change = setting.learned, setting.change
    what = f"{setting.method}, {setting.name}: {percent(learned.value)} %, elsewhere {points(change.value)}; {learned.n} runs"
    style = f"mean m{look % COLOURS}" + ("" if setting.on_front else " hollow")
    return titled(what, {}, element("path", {"d": shape(look, x(learned.value), y(change.value), LARGE), "class": style}))


def _legend(sweep: Sweep) -> list[Markup]:
    parts, left = [], LEFT
    for look, method in enumerate(sweep.methods):
        parts.append(element("path", {"d": shape(look, left + 6, 14, 5), "class": f"mean m{look % COLOURS}"}))
        parts.append(text(left + 16, 18, method, "small"))
        left += 30 + 6.6 * len(method)
    return parts


def _axes(across: _Axis, up: _Axis, x: Scale, y: Scale) -> Markup:
    upright = [element("line", {"x1": x(v), "x2": x(v), "y1": TOP, "y2": BOTTOM, "class": "grid"}) for v in across.ticks]
    level = [
        element("line", {"x1": LEFT, "x2": RIGHT, "y1": y(v), "y2": y(v), "class": "zero" if v == 0 else "grid"})
        for v in up.ticks
    ]
    below = [text(x(v), BOTTOM + 17, across.written(v), "faint small", "middle") for v in across.ticks]
    beside = [text(LEFT - 8, y(v) + 4, up.written(v), "faint small", "end") for v in up.ticks]
    turned = {"transform": f"translate(14 {(TOP + BOTTOM) / 2:g}) rotate(-90)", "class": "small", "text-anchor": "middle"}
    names = [text((LEFT + RIGHT) / 2, BOTTOM + 38, across.shows, "small", "middle"), element("text", turned, up.shows)]
    return element("g", {}, *upright, *level, *below, *beside, *names)
