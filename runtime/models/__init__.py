"""Causal language models: making the miniature's tiny models and their tokenizers, loading any `checkpoint.hf` folder."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.utils import logging

from runtime.errors import JobError

# The families that a small model can be made of, by name: the class of its config and its own.
ARCHITECTURES: Mapping[str, tuple[Any, Any]] = {
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "llama": (LlamaConfig, LlamaForCausalLM),
}
PAD = "<|pad|>"
EOS = "<|end|>"
LONGEST_SEQUENCE = 256
# A word takes the space before it; digits and signs stand alone, so that a number is the same symbols everywhere.
PIECES = Regex(r" ?[A-Za-z]+|[^A-Za-z]")


def pick_device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def hardware() -> str:
    """What models run on here: the accelerator's name, or the kind of processor."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer (Sennrich et al. 2016) of `vocabulary` tokens; any text survives encode and decode."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(PIECES, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS, clean_up_tokenization_spaces=False)


def tiny_model(
    architecture: str, tokenizer: PreTrainedTokenizerFast, *, layers: int, hidden: int, heads: int, seed: int
) -> Any:
    """A freshly initialised model of `layers` blocks, `hidden` wide; the same seed gives the same weights.

    Raises JobError for an architecture that is not there, and for heads that do not divide the width.
    """
    if architecture not in ARCHITECTURES:
        raise JobError(f"model: there is no architecture {architecture!r}; this runtime has {', '.join(ARCHITECTURES)}")
    if hidden % heads or (hidden // heads) % 2:
        raise JobError(f"model: hidden={hidden} must be an even multiple of heads={heads}; change one of them")
    config_class, model_class = ARCHITECTURES[architecture]
    config = config_class(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=hidden // heads,
        max_position_embeddings=LONGEST_SEQUENCE,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    torch.manual_seed(seed)
    return model_class(config)


def tiny_qwen3(tokenizer: PreTrainedTokenizerFast, *, layers: int, hidden: int, heads: int, seed: int) -> Any:
    """A freshly initialised model of the miniature's own family."""
    return tiny_model("qwen3", tokenizer, layers=layers, hidden=hidden, heads=heads, seed=seed)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a `checkpoint.hf` folder; raises JobError when the folder holds none."""
    _require(folder, "tokenizer_config.json")
    return AutoTokenizer.from_pretrained(folder)


def load_model(folder: Path, device: torch.device | None = None) -> Any:
    """The model of a `checkpoint.hf` folder in evaluation mode, on `device`: float32 on a CPU, as stored elsewhere."""
    _require(folder, "config.json")
    logging.disable_progress_bar()
    where = device or pick_device()
    dtype = torch.float32 if where.type == "cpu" else "auto"
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    return model.to(where).eval()


def save_checkpoint(model: Any, tokenizer: Any, folder: Path, weights: Mapping[str, torch.Tensor] | None = None) -> None:
    """Write a `checkpoint.hf`: what `save_pretrained` writes for the model, or for these `weights` of it, and its tokenizer."""
    logging.disable_progress_bar()
    model.save_pretrained(folder, state_dict=weights)
    tokenizer.save_pretrained(folder)


def _require(folder: Path, name: str) -> None:
    if not (folder / name).is_file():
        raise JobError(f"{folder}: holds no {name}, so it is no checkpoint.hf; run the job that makes it")
