"""A difference of plans as people read it in a terminal: a few lines, at most 60, or every job."""

from __future__ import annotations

from compiler.diff.items import Item, View
from compiler.diff.reasons import reasons
from compiler.diff.told import Length, chosen, consequences, summed
from compiler.diff.whose import MOST_NAMES

MOST_LINES = 60


def render(view: View, length: Length) -> str:
    """The difference as text; its last line is the sum, unless nothing differs."""
    if view.diff.empty:
        return view.same
    head = [*edited(view, length), f"{view.title}:"]
    tail = [*(f"  {line}" for line in consequences(view, length)), summed(view)]
    items = chosen(view, length, MOST_LINES - len(head) - len(tail))
    found = reasons(view.diff, view.old, view.new, view.unseen) if length == "full" else []
    every = ["  every job:", *(f"    {one.sign:3} {one.job}: {one.why}" for one in found)] if found else []
    return "\n".join([*head, *(line for item in items for line in _lines(item)), *every, *tail])


def edited(view: View, length: Length) -> list[str]:
    """The section before the plan: files that are not as they were compiled."""
    names = view.diff.edited
    shown = names if length == "full" else names[:MOST_NAMES]
    more = [f"  ! and {len(names) - len(shown):,} more"] if len(names) > len(shown) else []
    head = ["not as compiled; compiling refuses until that is in the spec, or discarded with --overwrite:"] if names else []
    return [*head, *(f"  ! {name}" for name in shown), *more]


def _lines(item: Item) -> list[str]:
    effect = f"  ({item.effect})" if item.effect else ""
    if len(item.what) <= 1:
        return [f"  {item.sign} {': '.join([item.who, *item.what])}{effect}"]
    return [f"  {item.sign} {item.who}:{effect}", *(f"        {what}" for what in item.what)]
