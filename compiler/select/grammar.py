"""Which jobs of a plan somebody means: dbt's node selection, over the axes of a study.

    method:on_rl,domain:math     both hold: `,` is and
    method:on_rl stage:eval      either holds: several words are or
    domain:math|qa  lr:*e-05     one of these values; `*` and `?` stand for any text
    +X  X+  2+X  X+1             and all that X is made from; and all that is made from X; so many steps of it

A job is of every cell that it trains or measures, with others or alone. What serves the study as a whole (rows, datasets,
hub models, the scores of the starts, the report) is of no cell: `+` brings what a cell needs of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from compiler.diagnostics import LetheError, closest, nearest
from compiler.plan.plan import Job, Plan, PlannedCell
from compiler.select.offer import RESULTS, STATES, Offer

FIXED = ("stage", "job", "cell", "state", "result")  # what can be selected by, besides the axes

MOST_NAMES = 20  # in a message

_WORD = re.compile(r"(?:(?P<above>\d*)\+)?(?P<body>[^+].*?)(?:\+(?P<below>\d*))?")


class SelectionError(LetheError):
    """What somebody asked for is not there."""


def no_such(asked: str, what: str, name: str, valid: Iterable[str]) -> SelectionError:
    """The one message for a name that means nothing: where it stands, what it is not, and the nearest that there is."""
    words = sorted(set(valid))
    near = closest(name, words) is not None or len(words) <= MOST_NAMES
    listed = "; `lethe ls` lists them" if "job" in what else ""
    hint = nearest(name, words) if near else f"none of the {len(words)} that there are is like it{listed}"
    return SelectionError(f"{asked}: there is no {what} '{name}'" + (f"\n  hint: {hint}" if hint else ""))


@dataclass(frozen=True)
class Atom:
    """One criterion, such as `2+method:on_rl|pi`: `key` is "" for a bare name, `above` and `below` are numbers of steps."""

    text: str
    key: str
    values: tuple[str, ...]
    above: float = 0
    below: float = 0


Selector = tuple[tuple[Atom, ...], ...]  # any of these, each of which is all of those


# ---- the grammar ----------------------------------------------------------------------------------------------------


def read_selector(words: Sequence[str]) -> Selector:
    """The criteria that `words` write. Raises SelectionError."""
    return tuple(tuple(_atom(part, word) for part in word.split(",")) for word in words)


def asks_for(selector: Selector, key: str) -> bool:
    return any(atom.key == key for group in selector for atom in group)


def _atom(text: str, word: str) -> Atom:
    found = _WORD.fullmatch(text.strip())
    if found is None:
        raise SelectionError(f"'{word}': '{text}' selects nothing; write AXIS:VALUE, stage:KIND, or the name of a cell or job")
    key, colon, values = found["body"].rpartition(":") if ":" in found["body"] else ("", "", found["body"])
    chosen = tuple(values.split("|"))
    if (colon and not key) or not all(chosen):
        raise SelectionError(f"'{word}': a name or value is missing; write AXIS:VALUE or AXIS:VALUE|VALUE")
    return Atom(text.strip(), key, chosen, _steps(found["above"]), _steps(found["below"]))


def _steps(written: str | None) -> float:
    """What stands beside a `+`: without a number, all the way; without a `+`, none."""
    return 0 if written is None else int(written) if written else math.inf


# ---- what it means --------------------------------------------------------------------------------------------------


def select(selector: Selector, from_: Offer) -> list[Job]:
    """The jobs that any word of a selector means, in the plan's order; without one, all. Raises SelectionError."""
    if not selector:
        return list(from_.plan.jobs)
    chosen = set().union(*(_all_of(group, from_) for group in selector))
    return [job for job in from_.jobs if job.id in chosen]


def selected_cells(jobs: Iterable[Job], plan: Plan) -> list[PlannedCell]:
    """The cells whose final checkpoint one of `jobs` measures (one on the way there may be another cell's, too)."""
    ids = {job.id for job in jobs}
    return [cell for cell in plan.cells if ids.intersection(cell.after.values())]


def _all_of(group: Sequence[Atom], from_: Offer) -> set[str]:
    """What every criterion of a word means. Jobs that are no more count only where a word asks for them."""
    with_removed = any(atom.key == "state" and "removed" in atom.values for atom in group)
    pool = {job.id for job in (from_.jobs if with_removed else from_.plan.jobs)}
    return pool.intersection(*(_reached(atom, from_) for atom in group))


def _reached(atom: Atom, from_: Offer) -> set[str]:
    own = _meant(atom, from_)
    return _walk(from_.graph.predecessors, own, atom.above) | _walk(from_.graph.successors, own, atom.below)


def _walk(neighbours: Callable[[str], Iterable[str]], own: set[str], steps: float) -> set[str]:
    reached, border = set(own), set(own)
    while border and steps > 0:
        border = {name for job in border for name in neighbours(job)} - reached
        reached |= border
        steps -= 1
    return reached


def _meant(atom: Atom, from_: Offer) -> set[str]:
    """The jobs that a criterion itself names."""
    ids, cells = [job.id for job in from_.jobs], [cell.id for cell in from_.cells]
    match atom.key:
        case "":
            named = _words(atom, "cell or job", [*cells, *ids], _axis_hint(atom, from_))
            return (named & set(ids)) | _of_cells(named, from_)
        case "job":
            return _words(atom, "job", ids)
        case "cell":
            return _of_cells(_words(atom, "cell", cells), from_)
        case "stage":
            kinds = {_kind(atom, value, from_.kinds) for value in atom.values}
            return {job.id for job in from_.jobs if any(fnmatchcase(job.kind, kind) for kind in kinds)}
        case "state":
            chosen = _words(atom, "state", STATES)
            return {job for job, state in from_.states.items() if state in chosen}
        case "result":
            chosen = _words(atom, "result", RESULTS)
            return {job for job, result in from_.results.items() if result in chosen}
        case axis:
            return _of_cells(_with_value(atom, axis, from_), from_)


def _words(atom: Atom, what: str, valid: Iterable[str], hint: str = "") -> set[str]:
    """The valid words that a criterion's values name. Raises SelectionError for one that names none."""
    known = list(valid)
    found: set[str] = set()
    for value in atom.values:
        named = {word for word in known if fnmatchcase(word, value)}
        if not named:
            raise SelectionError(f"'{atom.text}': {hint}") if hint else no_such(f"'{atom.text}'", what, value, known)
        found |= named
    return found


def _axis_hint(atom: Atom, from_: Offer) -> str:
    """What to write instead of a value alone."""
    value = atom.values[0]
    axis = next((axis for axis, values in from_.axes.items() if value in map(as_word, values)), None)
    if axis:
        return f"'{value}' is a value of axis '{axis}'\n  hint: write {axis}:{value}"
    return f"'{value}' is a kind of job\n  hint: write stage:{value}" if value in from_.kinds else ""


def _kind(atom: Atom, value: str, kinds: Sequence[str]) -> str:
    """The kind of job that a value names, in full, by its beginning, or with wildcards. Raises SelectionError."""
    if value in kinds:
        return value
    named = [kind for kind in kinds if fnmatchcase(kind, value) or kind.startswith(value)]
    if not named:
        raise no_such(f"'{atom.text}'", "kind of job", value, kinds)
    if len(named) > 1 and not set("*?") & set(value):
        raise SelectionError(f"'{atom.text}': '{value}' begins {_listed(sorted(named))}\n  hint: write a letter more")
    return value if len(named) > 1 else named[0]


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _of_cells(cells: set[str], from_: Offer) -> set[str]:
    return {job for job, its in from_.members.items() if cells.intersection(its)}


def _with_value(atom: Atom, axis: str, from_: Offer) -> set[str]:
    """The cells with one of a criterion's values on an axis. Raises SelectionError for an axis or a value that is not there."""
    if axis not in from_.axes:
        raise no_such(f"'{atom.text}'", "axis", axis, [*from_.axes, *FIXED])
    for value in atom.values:
        if not any(_is(known, value) for known in from_.axes[axis]):
            raise no_such(f"'{atom.text}'", axis, value, map(as_word, from_.axes[axis]))
    having = [cell for cell in from_.cells if axis in cell.axes]
    return {cell.id for cell in having if any(_is(cell.axes[axis], value) for value in atom.values)}


def as_word(value: Any) -> str:
    """A value of an axis as people write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is(value: Any, written: str) -> bool:
    """Whether an axis's value is what is written: the same text, or the same number (`lr:1e-5` is `lr:0.00001`)."""
    if fnmatchcase(as_word(value), written):
        return True
    try:
        return float(written) == float(as_word(value))
    except ValueError:
        return False
