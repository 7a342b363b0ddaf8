"""What a backend asks of the environment that it runs in; `backend.yaml` says it."""

from __future__ import annotations

from typing import Annotated

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator

from compiler.language.places import Capability
from compiler.language.study import Name
from compiler.language.validation import Strict


def _versions(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier as error:
        raise ValueError(f"'{text}' are no versions, such as >=1.13 or >=1.3,<1.4") from error
    return text


Versions = Annotated[str, AfterValidator(_versions)]
Needs = dict[str, Versions]  # packages and their versions; "" is any


class Ask(Strict):
    """A capability that a part of a backend needs where `when`, an expression over `settings` and `execution`, holds.

    `at` is the setting that asks for it. With `otherwise`, which says what to do, the lack of it is only warned of.
    """

    capability: Capability
    when: str = "true"
    at: Name | None = None
    otherwise: str | None = None
