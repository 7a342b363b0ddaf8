"""The rules of a study, applied to its cells in their order: drop, keep, add, set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from compiler.cells.cell import Override, RuleEffect, inside, same, text
from compiler.diagnostics import Diagnostic, Position, SpecError, nearest
from compiler.language.source import PathKey, Tree
from compiler.language.study import Rule, Study


@dataclass(frozen=True)
class Draft:
    """A point of the matrix before it has its name."""

    axes: Mapping[str, Any]
    overrides: tuple[Override, ...] = ()


@dataclass
class Edited:
    """The drafts that the rules left, what each rule did, and where it names values that no axis has."""

    drafts: list[Draft]
    effects: tuple[RuleEffect, ...] = ()
    places: dict[tuple[str, str], Position] = field(default_factory=dict)


def apply_rules(study: Study, tree: Tree, drafts: Sequence[Draft]) -> Edited:
    """Apply every rule. Raises SpecError with all that is wrong; a rule that touches nothing is."""
    edited, wrong = Edited(list(drafts)), list[Diagnostic]()
    sound = True  # until an `add` is wrong: then later rules may name what it would have added
    known = {axis: list(dict.fromkeys(draft.axes[axis] for draft in drafts)) for axis in (drafts[0].axes if drafts else ())}
    known |= {axis: study.axes.values(axis) for axis, _ in study.axes.items()}
    for number, rule in enumerate(study.rules):
        mistakes = list(_wrong_values(rule, study, known, tree, number)) if sound else []
        wrong += mistakes
        sound = sound and not (mistakes and rule.add)
        if mistakes or not sound:
            continue
        before = len(edited.drafts)
        touched = _apply(rule, edited, known, tree, number)
        edited.effects += (RuleEffect(rule.name, rule.action, rule.why, touched),)
        if not touched and not wrong:
            message = f"rule '{rule.name}' touches none of the {before} cells"
            hint = "its cells are there already" if rule.add else "see 'where'; rules before it may have dropped them"
            wrong.append(Diagnostic(tree.at(("rules", number)), message, hint))
    if wrong:
        raise SpecError(wrong)
    return edited


def _wrong_values(rule: Rule, study: Study, known: Mapping[str, list[Any]], tree: Tree, number: int) -> Iterable[Diagnostic]:
    """Axes that there are not, and values that an axis has not: they would be silently ignored."""
    field_name, named = ("cells", rule.cells) if rule.cells is not None else ("where", rule.where)
    for axis, values in (named or {}).items():
        path: PathKey = ("rules", number, field_name, axis)
        if axis not in known:
            hint = nearest(axis, known)
            yield Diagnostic(tree.key_at(path), f"rule '{rule.name}': there is no axis '{axis}'", hint)
            continue
        fixed = rule.cells is None or not isinstance(dict(study.axes.items()).get(axis, []), list)
        for place, value in enumerate(values if isinstance(values, list) else [values]):
            if fixed and not any(same(value, one) for one in known[axis]):
                message = f"rule '{rule.name}': axis '{axis}' has no '{text(value)}'"
                yield Diagnostic(tree.at((*path, place)), message, nearest(text(value), map(text, known[axis])))


def _apply(rule: Rule, edited: Edited, known: dict[str, list[Any]], tree: Tree, number: int) -> int:
    """Edit the drafts; how many were touched."""
    if rule.cells is not None:
        return _add(rule.cells, edited, known, tree, number)
    meant = [_matches(draft, rule) for draft in edited.drafts]
    both = list(zip(edited.drafts, meant, strict=True))
    if rule.drop is not None:
        edited.drafts = [draft for draft, hit in both if not hit]
        return sum(meant)
    if rule.keep is not None:
        edited.drafts = [draft for draft, hit in both if hit]
        return len(meant) - sum(meant)
    overrides = tuple(_overrides(rule, tree, number))
    edited.drafts = [replace(draft, overrides=draft.overrides + overrides) if hit else draft for draft, hit in both]
    return sum(meant)


def _add(cells: Mapping[str, list[Any]], edited: Edited, known: dict[str, list[Any]], tree: Tree, number: int) -> int:
    """Add a product of values that are not there yet, and remember where it names new ones."""
    order = list(edited.drafts[0].axes) if edited.drafts else list(known)
    values = {axis: cells.get(axis, known[axis]) for axis in order}
    for axis, named in cells.items():
        for place, value in enumerate(named):
            edited.places.setdefault((axis, text(value)), tree.at(("rules", number, "cells", axis, place)))
            if not any(same(value, one) for one in known[axis]):
                known[axis] = [*known[axis], value]
    there = {_key(draft.axes) for draft in edited.drafts}
    new = [Draft(dict(zip(order, point, strict=True))) for point in product(*values.values())]
    added = [draft for draft in new if _key(draft.axes) not in there]
    edited.drafts += added
    return len(added)


def _key(axes: Mapping[str, Any]) -> tuple[tuple[str, bool, Any], ...]:
    return tuple((axis, isinstance(value, bool), value) for axis, value in axes.items())


def _matches(draft: Draft, rule: Rule) -> bool:
    """Whether the value of the draft on every axis that `where` names is one of those given."""
    for axis, wanted in (rule.where or {}).items():
        if not any(same(draft.axes[axis], value) for value in (wanted if isinstance(wanted, list) else [wanted])):
            return False
    return True


def _overrides(rule: Rule, tree: Tree, number: int) -> Iterable[Override]:
    for algorithm, settings in (rule.to or {}).items():
        path: PathKey = ("rules", number, "to", algorithm)
        for setting, value in settings.items():
            source = f"rule '{rule.name}'"
            at = tree.key_at((*path, setting)), tree.key_at(path)
            yield Override(algorithm, setting, value, *at, source, inside(tree, (*path, setting), value))
