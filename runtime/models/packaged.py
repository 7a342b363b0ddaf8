"""Models inside Python packages: one GGUF file with weights, tokenizer and chat template becomes a `checkpoint.hf`.

The package is found by its metadata and never imported: what it would import itself need not be there.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from runtime.errors import JobError
from runtime.models import save_checkpoint


def read_package(package: str, version: str, sha256: str) -> Path:
    """The GGUF file of an installed package. Raises JobError unless it is there, in that version, with that hash."""
    try:
        found = distribution(package)
    except PackageNotFoundError as error:
        raise JobError(f"{package} is not installed here; install {package}=={version} where jobs run") from error
    if found.version != version:
        raise JobError(f"{package} is installed in version {found.version}, the study wants {version}; install that one")
    files = [Path(str(file.locate())) for file in found.files or () if file.suffix == ".gguf"]
    if not files or not files[0].is_file():
        raise JobError(f"{package} {version} holds no GGUF file; install it again, or take a package that has one")
    if len(files) > 1:
        raise JobError(f"{package} {version} holds {len(files)} GGUF files, and nothing says which; take a package with one")
    with files[0].open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if digest != sha256:
        raise JobError(f"{files[0].name} of {package} {version} has the hash {digest}, the study wants {sha256}")
    return files[0]


def unpack(file: Path, folder: Path) -> int:
    """Write a GGUF file's model, its weights as float32, and its tokenizer into `folder`; returns how many weights it has."""
    logging.disable_progress_bar()
    model: Any = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    tokenizer.clean_up_tokenization_spaces = False  # for words without their spaces, which these tokens have
    name_special_tokens(tokenizer, model.config)
    save_checkpoint(model, tokenizer, folder)
    return int(model.num_parameters())


def name_special_tokens(tokenizer: Any, config: Any) -> None:
    """Give the tokenizer the special tokens that the model's config names by their ids, as the file's metadata has them.

    transformers 5.10 reads them from there into the config, but names the tokenizer's by a rule of its own: a model that ends
    its turns with one token would then be taught to end them with another.
    """
    for role in ("bos", "eos", "pad", "unk"):
        number = getattr(config, f"{role}_token_id", None)
        if number is not None:
            setattr(tokenizer, f"{role}_token", tokenizer.convert_ids_to_tokens(number))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
