"""Words of one form: names of variables and modules, versions, hashes, times, sizes of memory, and what #SBATCH lines take."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from compiler.slurm import memory, time_limit

VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
WORD = r"^[A-Za-z0-9][A-Za-z0-9_.,:-]*$"
TIME = r"^(?=.*[1-9])([0-9]+-[0-9]+(:[0-9]+){0,2}|[0-9]+(:[0-9]+){0,2})$"
MEMORY = r"^(0|[1-9][0-9]*[KMGT])$"


def _variable(value: str) -> str:
    if not re.fullmatch(VARIABLE.strip("^$"), value):
        raise ValueError(f"'{value}' is no name of a shell variable")
    return value


def _word(value: str) -> str:
    """Words of #SBATCH lines stand there without quotes."""
    if not re.fullmatch(WORD.strip("^$"), value):
        raise ValueError(f"'{value}' is no word that Slurm takes here")
    return value


Variable = Annotated[str, AfterValidator(_variable), WithJsonSchema({"type": "string", "pattern": VARIABLE})]
Word = Annotated[str, AfterValidator(_word), WithJsonSchema({"type": "string", "pattern": WORD})]
Time = Annotated[str, AfterValidator(time_limit), WithJsonSchema({"type": "string", "pattern": TIME})]
Memory = Annotated[str, AfterValidator(memory), WithJsonSchema({"type": "string", "pattern": MEMORY})]
Python = Annotated[str, Field(pattern=r"^3\.[0-9]+$")]
Module = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
