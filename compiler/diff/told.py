"""What is told of a difference, at which length: the items that there is room for, what follows from them, and the sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from compiler.diff.items import Item, View, added_items, cause_items, file_items, removed_items, renamed_items, stale_items
from compiler.diff.whose import amount, are, counted

Length = Literal["summary", "default", "full"]

_KINDS = 12  # lines for what is added, as many for what is removed: one a kind of job
_RENAMES = 8
_SUMMARY = 4
_MOVES = 2


def chosen(view: View, length: Length, room: int) -> list[Item]:
    """The items to tell, in their order. By default they take at most `room` lines."""
    come, gone, renamed = added_items(view), removed_items(view), renamed_items(view)
    last = [*stale_items(view), *file_items(view)]
    if length == "full":
        return [*come, *gone, *renamed, *cause_items(view, whole=True), *last]
    if length == "summary":
        causes = [Item(item.sign, item.who, _short(item.what), item.effect, item.jobs) for item in cause_items(view)]
        return [*_sums(view), *_clipped(causes, _SUMMARY), *last]
    first = [*_clipped(come, _KINDS), *_clipped(gone, _KINDS), *_clipped(renamed, _RENAMES)]
    return [*first, *_clipped(cause_items(view), room - sum(height(item) for item in (*first, *last))), *last]


def height(item: Item) -> int:
    """The lines that an item takes."""
    return 1 if len(item.what) <= 1 else 1 + len(item.what)


def _sums(view: View) -> list[Item]:
    """One item for all that is added, one for what is removed, one for what is renamed."""
    kinds = {job.id: job.kind for plan in (view.old, view.new) if plan for job in plan.jobs}
    groups = {"+": view.diff.added, "-": view.diff.removed, "~ renamed": tuple(item.new for item in view.diff.renamed)}
    return [Item(sign, counted(kinds[name] for name in found), jobs=len(found)) for sign, found in groups.items() if found]


def _short(what: Sequence[str]) -> tuple[str, ...]:
    return tuple(what) if len(what) <= 1 else (f"{what[0]}, and {amount(len(what) - 1, 'more change')}",)


def _clipped(items: Sequence[Item], room: int) -> list[Item]:
    """The first items that fit into so many lines; one in place of the others counts them."""
    if sum(map(height, items)) <= room:
        return list(items)
    kept, used = 0, 0
    while used + height(items[kept]) < room:
        used += height(items[kept])
        kept += 1
    left, jobs = items[kept:], sum(item.jobs for item in items[kept:])
    return [*items[:kept], Item("...", f"{len(left):,} more of these, in {amount(jobs, 'job')}; --full shows all")]


def consequences(view: View, length: Length) -> list[str]:
    """What has to be made again and what is lost; what is there already; what keeps results under new names; and all notes."""
    return [*_again(view), *_there(view), *_moves(view, length), *(f"note: {note}" for note in view.notes)]


def _again(view: View) -> list[str]:
    toll, kinds = view.toll, {job.id: job.kind for job in view.new.jobs}
    if not toll.again:
        return []
    many = counted(kinds[name] for name in toll.again)
    word = "has" if len(toll.again) == 1 else "have"
    return [f"In all, {many} {word} to be made again, up to {hours(toll.again_worst)} GPU-h{_lost(toll.invalidated)}."]


def _lost(number: int | None) -> str:
    if number is None:
        return ""
    return f"; {are(number, 'finished result')} invalidated" if number else "; nothing of it was finished"


def _there(view: View) -> list[str]:
    number = view.toll.there
    return (
        [f"{are(number, 'result')} in the store already, and {'costs' if number == 1 else 'cost'} nothing."] if number else []
    )


def _moves(view: View, length: Length) -> list[str]:
    moved = view.toll.moved
    if not moved:
        return []
    shown = moved if length == "full" else moved[:_MOVES]
    words = "; ".join([*(f"mv {old} {new}" for old, new in shown), *(["..."] if len(moved) > len(shown) else [])])
    many = amount(len(moved), "finished result")
    return [f"{many} of renamed jobs would be made again; moved in the store, they are kept: {words}"]


def summed(view: View) -> str:
    """The last line."""
    diff, toll = view.diff, view.toll
    return (
        f"Plan: {len(diff.added)} to add, {len(diff.changed)} to change ({len(diff.invalid)} invalidate results), "
        f"{len(diff.removed)} to remove; {len(diff.stale)} become stale. "
        f"{hours(toll.expected)} GPU-h expected, {hours(toll.worst)} worst case."
    )


def hours(number: float) -> str:
    """GPU-hours as people say them: of few one decimal, of many none."""
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"
