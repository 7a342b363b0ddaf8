"""A difference of plans for a pull request, as Markdown: the sum, a table of causes, and what follows from them."""

from __future__ import annotations

import re

from compiler.diff.items import Item, View
from compiler.diff.reasons import reasons
from compiler.diff.text import edited
from compiler.diff.told import Length, chosen, consequences, summed

_ROWS = 30


def markdown(view: View, length: Length) -> str:
    """The difference as Markdown; `full` adds every job, folded."""
    if view.diff.empty:
        return view.same
    parts = [
        [f"### {_plain(view.title)}"], [f"**{summed(view)}**"], _listed(edited(view, length)),
        ["| | what | change | effect |", "|---|---|---|---|", *map(_row, chosen(view, length, _ROWS))],
        _listed(consequences(view, length)), _every(view) if length == "full" else [],
    ]  # fmt: skip
    return "\n\n".join("\n".join(part) for part in parts if part)


def _row(item: Item) -> str:
    return f"| `{item.sign}` | {_plain(item.who)} | {'<br>'.join(map(_plain, item.what))} | {item.effect} |"


def _every(view: View) -> list[str]:
    found = reasons(view.diff, view.old, view.new, view.unseen)
    rows = [f"| `{one.sign}` | {_plain(one.job)} | {_plain(one.why)} |" for one in found]
    head = ["<details><summary>Every job</summary>", "", "| | job | why |", "|---|---|---|"]
    return [*head, *rows, "", "</details>"] if rows else []


def _listed(lines: list[str]) -> list[str]:
    return [f"- {_plain(line.strip())}" for line in lines]


def _plain(text: str) -> str:
    """Text that is shown as it is: no table cell ends in it, and nothing in it is markup."""
    return re.sub(r"([\\|*_`\[\]])", r"\\\1", text).replace("<", "&lt;")
