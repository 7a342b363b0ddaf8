"""The catalog: named definitions that a study picks from, and may replace or extend.

Definitions come from the folders that a study names, each on top of the one before, and from its own `define` on top of
all. A definition is complete, and then replaces one of its name from below; or it says `extends: NAME` and gives only what
differs: mappings merge key by key, lists and single values replace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from compiler.diagnostics import Diagnostic, Position, SpecError, nearest, one_slip, spec_error
from compiler.language.definitions import SECTIONS, Dataset
from compiler.language.references import EACH, KEY, reached, unknown_names
from compiler.language.source import PathKey, Tree, merged, read_tree
from compiler.language.validation import Strict, parse

Definition = TypeVar("Definition", bound=Strict)
Key = tuple[str, str]  # a definition's section and name

_SECTION_OF = {model: section for section, model in SECTIONS.items()}
INNER = (("clusters", "resources"), ("scales", "starts"))  # what is defined within a definition and named by others


@dataclass(frozen=True)
class Catalog:
    """Every definition a study can name, with where each of its values stands."""

    models: Mapping[Key, Strict]
    trees: Mapping[Key, Tree]

    def get(self, kind: type[Definition], name: str, asked: Position) -> Definition:
        """The definition of that kind and name. Raises SpecError at `asked`, the place that names it."""
        section = _SECTION_OF[kind]
        found = self.models.get((section, name))
        if isinstance(found, kind):
            return found
        raise spec_error(asked, f"there is no {section[:-1]} '{name}'", nearest(name, self.names(section)))

    def names(self, section: str) -> list[str]:
        """The names that a section defines."""
        return [name for found, name in self.models if found == section]

    def at(self, section: str, name: str, path: PathKey = ()) -> Position:
        """Where a value of a definition stands."""
        return self.trees[section, name].at(path)

    def below(self, section: str, name: str, path: PathKey) -> Tree:
        """A part of a definition."""
        return self.trees[section, name].below(path)


def read_catalog(folders: Sequence[Path], study: Tree) -> Catalog:
    """The definitions in `folders`, later folders and then the study's own on top. Raises SpecError with every mistake."""
    catalog, _, wrong = collect(folders, study)
    if wrong:
        raise SpecError(wrong)
    return catalog


def collect(folders: Sequence[Path], study: Tree) -> tuple[Catalog, dict[str, list[str]], list[Diagnostic]]:
    """The definitions that are right, the names in each section of all that are there, and every mistake in them.

    Raises SpecError when not even the names can be told.
    """
    lost: list[Diagnostic] = []
    wrong: list[Diagnostic] = []
    layers = [_layer(folder, lost, wrong) for folder in folders]
    layers.append(_definitions(_own(study), lost, wrong))
    if lost:
        raise SpecError([*lost, *wrong])
    found: dict[Key, Tree | None] = {}
    for layer in layers:
        found.update([(key, _whole(key, layer, found, wrong)) for key in layer])
    trees = {key: tree for key, tree in found.items() if tree is not None}
    models = dict(_parsed(trees, wrong))
    whole = [(section, field) for section, field in INNER if all(key in models for key in found if key[0] == section)]
    known = {**_names(found), **{field: _inner_names(trees, section, field) for section, field in whole}}
    wrong += _lost_settings(trees, models)
    told = {mistake.position for mistake in wrong}
    wrong += [mistake for mistake in _unknown_names(trees, known) if mistake.position not in told]
    return Catalog(models, trees), known, wrong


def _own(study: Tree) -> Tree:
    """What a study defines itself; what is no definition there is told of the study."""
    if not isinstance(study.data.get("define"), dict):
        return Tree(study.file, {})
    own = study.below(("define",))
    return Tree(own.file, {s: entries for s, entries in own.data.items() if isinstance(entries, dict)}, own.values, own.keys)


def _names(keys: Iterable[Key]) -> dict[str, list[str]]:
    """The names in each section."""
    found: dict[str, list[str]] = {section: [] for section in SECTIONS}
    for section, name in keys:
        found[section].append(name)
    return found


def _inner_names(trees: Mapping[Key, Tree], section: str, field: str) -> list[str]:
    """The names that some definition of a section has in one of its fields."""
    data = [tree.data for (found, _), tree in trees.items() if found == section]
    return [str(name) for inner in data for _, name in reached((field, KEY), inner)]


def _parsed(trees: Mapping[Key, Tree], wrong: list[Diagnostic]) -> Iterable[tuple[Key, Strict]]:
    for key, tree in sorted(trees.items()):
        try:
            yield key, parse(SECTIONS[key[0]], tree)
        except SpecError as error:
            wrong.extend(error.diagnostics)


def _unknown_names(trees: Mapping[Key, Tree], known: Mapping[str, Sequence[str]]) -> Iterable[Diagnostic]:
    """What definitions name and nobody defines."""
    for (section, name), tree in trees.items():
        yield from unknown_names(SECTIONS[section], tree, known)
        starts = tree.data.get("starts") if section == "scales" and isinstance(tree.data, dict) else None
        if isinstance(starts, dict):
            yield from _lost_starts(name, tree, starts)


def _lost_starts(scale: str, tree: Tree, starts: Mapping[str, Any]) -> Iterable[Diagnostic]:
    """Starts that go on from one that their scale has not, or from each other in a circle, which is told once."""
    before: dict[str, str] = {}
    for path, start in reached((EACH, EACH, "start"), starts):
        if isinstance(start, str) and start not in starts:
            yield Diagnostic(tree.at(("starts", *path)), f"scale '{scale}' has no start '{start}'", nearest(start, starts))
        before[str(path[0])] = str(start)
    for name in before:
        chain = [name]
        while before.get(chain[-1], name) not in chain:
            chain.append(before[chain[-1]])
        if before.get(chain[-1]) == name == min(chain):
            message = f"starts go round in a circle: {' -> '.join([*chain, name])}"
            yield Diagnostic(tree.at(("starts", name)), message)


def _lost_settings(trees: Mapping[Key, Tree], models: Mapping[Key, Strict]) -> Iterable[Diagnostic]:
    """What domains set of datasets that sample nothing, and so take nothing from a domain."""
    datasets = {name: model for (_, name), model in models.items() if isinstance(model, Dataset)}
    sampled = [name for name, dataset in datasets.items() if dataset.traces]
    for (section, domain), tree in trees.items():
        for path, name in reached(("datasets", KEY), tree.data if section == "domains" else None):
            if name in datasets and name not in sampled:
                message = f"domain '{domain}' sets '{name}', which has no traces to set anything of"
                yield Diagnostic(tree.key_at(path), message, nearest(name, sampled))


def _layer(folder: Path, lost: list[Diagnostic], wrong: list[Diagnostic]) -> dict[Key, Tree]:
    """Every definition in `folder`, however deep. A name defined twice in one section is a mistake."""
    files = sorted(file for file in folder.rglob("*.yaml") if not file.name.startswith("."))
    if not files:
        message = "the catalog's folder holds no YAML file"
        lost.append(Diagnostic(Position(str(folder)), message, "see 'catalog' in the spec"))
    trees: dict[Key, Tree] = {}
    for file in files:
        for key, tree in _definitions(_read(file, lost), lost, wrong).items():
            first = trees.setdefault(key, tree)
            if first is not tree:
                message = f"{key[0][:-1]} '{key[1]}' is defined twice"
                wrong.append(Diagnostic(tree.key_at(()), message, f"first at {first.key_at(())}"))
    return trees


def _read(file: Path, lost: list[Diagnostic]) -> Tree:
    try:
        return read_tree(file)
    except SpecError as error:
        lost.extend(error.diagnostics)
        return Tree(str(file), {})


def _definitions(tree: Tree, lost: list[Diagnostic], wrong: list[Diagnostic]) -> dict[Key, Tree]:
    """The definitions of one file or of a study's `define`. Those of a misspelt section count as the section meant."""
    found: dict[Key, Tree] = {}
    for section, entries in tree.data.items():
        hint = nearest(section, SECTIONS, tree.data)
        meant = section if section in SECTIONS else hint.suggestion
        if section not in SECTIONS:
            (wrong if meant else lost).append(Diagnostic(tree.key_at((section,)), f"unknown section '{section}'", hint))
        if not isinstance(entries, dict):
            lost.append(Diagnostic(tree.at((section,)), f"section '{section}' must map names to definitions"))
        elif meant:
            label = f"{meant[:-1]} "
            found.update({(meant, name): tree.below((section, name)).labelled(label + name) for name in entries})
    return found


def _whole(
    key: Key, layer: Mapping[Key, Tree], below: Mapping[Key, Tree | None], wrong: list[Diagnostic], chain: tuple[str, ...] = ()
) -> Tree | None:
    """A definition of a layer on top of what it extends: another one of the layer, wherever it stands, or one from below.

    None where what it extends is missing or goes round in a circle, which is told once.
    """
    section, name = key
    parent, over = _parent(layer[key], section, wrong)
    if parent is None:
        return over
    if name in chain:
        if name == chain[0] == min(chain):
            message = f"definitions extend each other in a circle: {' -> '.join([*chain, name])}"
            wrong.append(Diagnostic(over.at(("extends",)), message))
        return None
    if parent != name and (section, parent) in layer:
        under = _whole((section, parent), layer, below, wrong, (*chain, name))
    elif (section, parent) in below:
        under = below[section, parent]
    else:
        known = [n for found, n in [*below, *(other for other in layer if other != key)] if found == section]
        message = f"there is no {section[:-1]} '{parent}' to extend"
        wrong.append(Diagnostic(over.at(("extends",)), message, nearest(parent, known)))
        return None
    return merged(under, over) if under else None


def _parent(tree: Tree, section: str, wrong: list[Diagnostic]) -> tuple[str | None, Tree]:
    """What a definition says that it extends, and what it says itself."""
    if not isinstance(tree.data, dict):
        return None, tree
    unknown = [] if "extends" in tree.data else sorted(set(tree.data) - set(SECTIONS[section].model_fields))
    slip = next((key for key in unknown if one_slip(key, "extends")), None)
    if slip:
        wrong.append(Diagnostic(tree.key_at((slip,)), f"unknown key '{slip}'", nearest(slip, ["extends"])))
    word = "extends" if "extends" in tree.data else slip
    data = {field: value for field, value in tree.data.items() if field != word}
    return (str(tree.data[word]) if word else None), Tree(tree.file, data, tree.values, tree.keys, tree.label)
