"""A difference of plans as a list of items, one for each cause, from which text and Markdown are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compiler.diff.changes import ABSENT, COSMETIC, EXECUTION, INVALIDATES, Effect
from compiler.diff.compare import Change, Diff, Rename
from compiler.diff.toll import Toll
from compiler.diff.values import text_of
from compiler.diff.whose import MOST_NAMES, Roster, counted
from compiler.output.sums import SUMS
from compiler.plan.plan import Job, Plan

SIGNS: Mapping[Effect, str] = {INVALIDATES: "-/+", EXECUTION: "~", COSMETIC: "~"}
STALE = "stale, the same with changed inputs"
MOST_VALUES = 4  # of one field, before it is said only that they are many
MOST_FIELDS = 6  # of one cause
EVERY = 100  # fields of a cause, where all is told


@dataclass(frozen=True)
class Item:
    """One thing to tell: a sign, which jobs, what of them, and what that means."""

    sign: str
    who: str
    what: tuple[str, ...] = ()
    effect: str = ""
    jobs: int = 1


@dataclass(frozen=True)
class View:
    """A difference with all that is needed to tell it.

    `title` names what is compared, `same` says that nothing differs, and `unseen`, if set, why whatever is added is.
    """

    title: str
    same: str
    diff: Diff
    toll: Toll
    old: Plan | None
    new: Plan
    unseen: str = ""
    notes: tuple[str, ...] = ()


def roster(plan: Plan | None) -> Roster:
    """The jobs of a plan, of none where there is no plan."""
    return Roster({job.id: job for job in plan.jobs} if plan else {})


def added_items(view: View) -> list[Item]:
    return _by_kind("+", view.diff.added, roster(view.new))


def removed_items(view: View) -> list[Item]:
    return _by_kind("-", view.diff.removed, roster(view.old))


def _by_kind(sign: str, jobs: Sequence[str], known: Roster) -> list[Item]:
    kinds: dict[str, list[str]] = {}
    for name in jobs:
        kinds.setdefault(known.jobs[name].kind, []).append(name)
    return [Item(sign, known.describe(found, kinds=True), jobs=len(found)) for found in kinds.values()]


def renamed_items(view: View) -> list[Item]:
    """Renamed jobs, one by one; of many that have another value on the same axis, the first ones."""
    before, after = roster(view.old).jobs, roster(view.new).jobs
    groups: dict[str, list[Rename]] = {}
    for rename in view.diff.renamed:
        groups.setdefault(_moved_axes(before[rename.old], after[rename.new]), []).append(rename)
    items: list[Item] = []
    for axes, found in groups.items():
        shown = found if len(found) <= MOST_NAMES + 1 else found[:MOST_NAMES]
        items += [Item("~", f"renamed {rename.old} -> {rename.new}", effect=STALE if rename.stale else "") for rename in shown]
        left = found[len(shown) :]
        if left:
            more = counted(after[rename.new].kind for rename in left)
            items.append(Item("~", f"renamed {more} more{axes and ', ' + axes}", jobs=len(left)))
    return items


def _moved_axes(old: Job, new: Job) -> str:
    was, now = old.cell or {}, new.cell or {}
    return ", ".join(f"{axis} {was[axis]} -> {now[axis]}" for axis in now if axis in was and was[axis] != now[axis])


@dataclass(frozen=True)
class _Cause:
    """Some fields that changed in the same jobs."""

    jobs: tuple[str, ...]
    effect: Effect
    changes: tuple[Change, ...]
    texts: tuple[str, ...]


def cause_items(view: View, *, whole: bool = False) -> list[Item]:
    """What changed, those that invalidate results first and of these the ones of many jobs; `whole` shows every field."""
    known = roster(view.new)
    order = list(SIGNS)
    causes = sorted(_causes(view.diff.changes), key=lambda cause: (order.index(cause.effect), -len(cause.jobs)))
    return [
        Item(
            SIGNS[cause.effect], known.describe(cause.jobs) if cause.jobs else "the plan",
            _few(cause, EVERY if whole else MOST_FIELDS), cause.effect, len(cause.jobs),
        )
        for cause in causes
    ]  # fmt: skip


def _causes(changes: Sequence[Change]) -> list[_Cause]:
    """Changes of the same jobs together; a field with many values is one change."""
    fields: dict[tuple[str, Effect], list[Change]] = {}
    for change in changes:
        fields.setdefault((change.field, change.effect), []).append(change)
    told: dict[tuple[tuple[str, ...], Effect], list[tuple[Change, str]]] = {}
    for found in fields.values():
        for change, text in _told(found):
            told.setdefault((change.jobs, change.effect), []).append((change, text))
    return [
        _Cause(jobs, effect, tuple(change for change, _ in found), tuple(text for _, text in found))
        for (jobs, effect), found in told.items()
    ]


def _told(found: Sequence[Change]) -> list[tuple[Change, str]]:
    """Each change of one field with its text, or one for all of them where they are many."""
    if len(found) <= MOST_VALUES:
        return [(change, text_of(change.field, change.old, change.new)) for change in found]
    first = found[0]
    jobs = tuple(job for change in found for job in change.jobs)
    text = f"{text_of(first.field, first.old, first.new)}, and {len(found) - 1:,} other changes of this field"
    return [(Change(first.field, first.old, first.new, first.effect, jobs), text)]


def _few(cause: _Cause, most: int) -> tuple[str, ...]:
    """The first fields of a cause; inputs, of which a report has hundreds, are counted."""
    pairs = list(zip(cause.changes, cause.texts, strict=True))
    inputs = [(change, text) for change, text in pairs if change.field.startswith("input.")]
    own = [text for change, text in pairs if not change.field.startswith("input.")]
    told = [text for _, text in inputs] if len(inputs) <= most // 2 else [_counted([change for change, _ in inputs])]
    more = [f"and {len(own) - most:,} more fields"] if len(own) > most else []
    return (*own[:most], *more, *told)


def _counted(inputs: Sequence[Change]) -> str:
    come, gone = sum(change.old == ABSENT for change in inputs), sum(change.new == ABSENT for change in inputs)
    numbers = {"added": come, "removed": gone, "others than before": len(inputs) - come - gone}
    return f"inputs: {', '.join(f'{number:,} {word}' for word, number in numbers.items() if number)}"


def stale_items(view: View) -> list[Item]:
    jobs = view.diff.stale
    return [Item("=", roster(view.new).describe(jobs, kinds=True), (STALE,), jobs=len(jobs))] if jobs else []


def file_items(view: View) -> list[Item]:
    """Files that differ although no job does, and nobody edited them."""
    if view.diff.edited and not view.diff.touches_jobs and set(view.diff.files) <= {*view.diff.edited, SUMS}:
        return [Item("=", "nothing else differs from what the spec compiles to", jobs=0)]
    found = [name for name in view.diff.files if name not in set(view.diff.edited)]
    if view.diff.touches_jobs or not found:
        return []
    shown = (*found[:MOST_NAMES], *([f"and {len(found) - MOST_NAMES:,} more"] if len(found) > MOST_NAMES else []))
    return [Item("~", "no job changes; only these files differ", shown, view.diff.files_effect, len(found))]
