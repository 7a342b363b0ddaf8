"""The classes of Python sources: their fields with annotation and default, through base classes, by their syntax alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from compiler.backends.extract.wheels import Package

UNKNOWN = object()  # a default that only running the code would tell
_MAKERS: Mapping[str, Any] = {"list": [], "dict": {}, "set": []}
_BOUNDS: Mapping[str, str] = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


@dataclass(frozen=True)
class Field:
    """A field of a class: its annotation, its default, the bounds that stand beside it, and the file that says so."""

    name: str
    annotation: ast.expr
    default: ast.expr | None
    file: str


@dataclass(frozen=True)
class Sources:
    """Python files, by path."""

    texts: Mapping[str, str]

    @cached_property
    def _statements(self) -> list[tuple[str, ast.stmt]]:
        return [(file, statement) for file, text in self.texts.items() for statement in _top_level(ast.parse(text).body)]

    @cached_property
    def classes(self) -> dict[str, tuple[str, ast.ClassDef]]:
        """Every class with its file, by name; of two of one name the first."""
        found: dict[str, tuple[str, ast.ClassDef]] = {}
        for file, statement in self._statements:
            if isinstance(statement, ast.ClassDef):
                found.setdefault(statement.name, (file, statement))
        return found

    @cached_property
    def names(self) -> dict[str, ast.expr]:
        """What the modules' names stand for: aliases of types, and constants."""
        found: dict[str, ast.expr] = {}
        for _, statement in self._statements:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                found.setdefault(statement.targets[0].id, statement.value)
            elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
                found.setdefault(statement.target.id, statement.value)
        return found

    def fields(self, name: str) -> dict[str, Field]:
        """The fields of a class in the order in which they are declared, those of its base classes first."""
        if name not in self.classes:
            return {}
        file, definition = self.classes[name]
        found: dict[str, Field] = {}
        for base in reversed(definition.bases):
            found |= self.fields(_last(base))
        for statement in definition.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and _is_field(statement):
                field = statement.target.id
                found[field] = Field(field, statement.annotation, statement.value, file)
        return found

    def members(self, name: str) -> list[Any] | None:
        """The values of an enumeration of texts; None for any other class."""
        if name not in self.classes or not {"str", "ExplicitEnum", "StrEnum"} & {*map(_last, self.classes[name][1].bases)}:
            return None
        said = [one.value for one in self.classes[name][1].body if isinstance(one, ast.Assign)]
        return [ast.literal_eval(value) for value in said if isinstance(value, ast.Constant)]

    def registered(self, function: str, at: int) -> dict[str, str]:
        """The classes that modules hand to a function as its argument `at`, by the names that come first there."""
        found, constants = dict[str, str](), dict[tuple[str, str], ast.expr]()
        for file, statement in self._statements:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                constants[file, statement.targets[0].id] = statement.value
            elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                call = statement.value
                if _last(call.func) == function:
                    name = constants.get((file, ast.unparse(call.args[0])), call.args[0])
                    found[str(ast.literal_eval(name))] = _last(call.args[at])
        return dict(sorted(found.items()))

    def default(self, field: Field) -> Any:
        """The value of a field that nobody sets; UNKNOWN where only running the code would tell."""
        return UNKNOWN if field.default is None else self.value(field.default)

    def value(self, node: ast.expr) -> Any:
        """What an expression is, as far as its syntax tells."""
        try:
            found = ast.literal_eval(node)
            return sorted(found) if isinstance(found, set) else list(found) if isinstance(found, tuple) else found
        except (ValueError, TypeError):
            pass
        if isinstance(node, ast.Name) and node.id in self.names:
            return self.value(self.names[node.id])
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return self._attribute(node.value.id, node.attr)
        return self._called(node) if isinstance(node, ast.Call) else UNKNOWN

    def _attribute(self, owner: str, name: str) -> Any:
        """A class's field or member."""
        if owner not in self.classes:
            return UNKNOWN
        for statement in self.classes[owner][1].body:
            if isinstance(statement, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in statement.targets):
                return self.value(statement.value)
        field = self.fields(owner).get(name)
        return self.default(field) if field else UNKNOWN

    def _called(self, node: ast.Call) -> Any:
        """The default that `field(...)` and its like give."""
        if _last(node.func) == "get_field" and isinstance(node.args[0], ast.Name):
            return self._attribute(node.args[0].id, str(ast.literal_eval(node.args[1])))
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if "default" in given:
            return self.value(given["default"])
        factory = given.get("default_factory")
        if isinstance(factory, ast.Lambda):
            return self.value(factory.body)
        if isinstance(factory, ast.Name):
            return _MAKERS.get(factory.id, UNKNOWN)
        return UNKNOWN

    def bounds(self, node: ast.expr | None) -> dict[str, Any]:
        """The range beside a default, as JSON Schema's keywords, also where the default is another class's."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            field = self.fields(node.value.id).get(node.attr)
            return self.bounds(field.default) if field else {}
        if isinstance(node, ast.Call) and _last(node.func) == "get_field" and isinstance(node.args[0], ast.Name):
            field = self.fields(node.args[0].id).get(str(ast.literal_eval(node.args[1])))
            return self.bounds(field.default) if field else {}
        keywords = node.keywords if isinstance(node, ast.Call) else []
        given = [(keyword.arg or "", self.value(keyword.value)) for keyword in keywords]
        return {_BOUNDS[name]: value for name, value in given if name in _BOUNDS and isinstance(value, int | float)}


def read_sources(packages: Mapping[Package, list[str]]) -> Sources:
    """The Python files of packages that match patterns."""
    return Sources({file: package.read(file) for package, patterns in packages.items() for file in package.matching(patterns)})


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if isinstance(statement, ast.If):
            yield from _top_level([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            yield from _top_level(statement.body)
        else:
            yield statement


def _is_field(statement: ast.AnnAssign) -> bool:
    """Whether a field can be given to the class: neither the class's own nor one that it makes by itself."""
    name, annotation = ast.unparse(statement.target), ast.unparse(statement.annotation)
    made = isinstance(statement.value, ast.Call) and any(
        keyword.arg == "init" and ast.unparse(keyword.value) == "False" for keyword in statement.value.keywords
    )
    return not (name.startswith("_") or "ClassVar" in annotation or made)


def _last(node: ast.expr) -> str:
    """The last word of a dotted name."""
    return ast.unparse(node).rpartition(".")[2]
