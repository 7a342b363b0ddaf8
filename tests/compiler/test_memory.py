"""Estimates of memory: closed forms, and numbers that others have published or measured."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from compiler.fitness import memory
from compiler.language.definitions import Shape
from tests.compiler.project import REPOSITORY

CATALOG = REPOSITORY / "specs" / "catalog"
TIED = ("1.7b", "4b")  # whose scores over the vocabulary are read off the embedding; the larger ones have both
SMALL = Shape(layers=3, hidden=8, feed_forward=20, heads=2, kv_heads=1, head_size=4, vocabulary=50)
GIB = 2**30

sizes = st.integers(1, 64)
shapes = st.builds(
    Shape, layers=sizes, hidden=sizes, feed_forward=sizes, heads=sizes, kv_heads=sizes, head_size=sizes, vocabulary=sizes
)


def models() -> dict[str, Any]:
    """Every model of the catalog that has a shape."""
    scales = yaml.safe_load((CATALOG / "scales.yaml").read_text())["scales"]
    teachers = yaml.safe_load((CATALOG / "datasets.yaml").read_text())["teachers"]
    return {name: found for name, found in {**scales, **teachers}.items() if "shape" in found}


def llama_70b() -> Shape:
    return Shape.model_validate(models()["llama31_70b"]["shape"])


@pytest.mark.parametrize("name", models())
def test_a_models_shape_comes_to_the_number_of_weights_that_it_is_said_to_have(name: str) -> None:
    found = models()[name]
    counted = memory.weights_of(Shape.model_validate(found["shape"]), tied=name in TIED)
    assert counted == pytest.approx(float(found["parameters"]), rel=0.02)


def test_a_trained_weight_takes_16_bytes_and_in_bfloat16_8() -> None:
    assert memory.per_weight("fp32").whole == memory.per_weight("bf16_mixed").whole == 16
    assert memory.per_weight("bf16").whole == 8


def test_an_adapter_has_its_rank_times_the_inputs_and_outputs_of_seven_layers_a_block() -> None:
    block = (8 + 8) + (8 + 4) + (8 + 4) + (8 + 8) + 3 * (8 + 20)
    assert memory.adapter_weights(5, SMALL) == 5 * 3 * block


def test_a_token_of_llama_70b_takes_320_kib_of_cache_and_its_weights_131_gib() -> None:
    assert memory.cache_token(llama_70b()) == 320 * 1024
    assert memory.HALF * memory.weights_of(llama_70b(), tied=False) / GIB == pytest.approx(131.5, abs=0.2)


def test_scores_over_a_large_vocabulary_outweigh_the_activations_that_checkpointing_leaves() -> None:
    shape, tokens = Shape.model_validate(models()["1.7b"]["shape"]), 3072
    assert memory.logits(tokens, shape.vocabulary) == 10 * tokens * 151936
    assert memory.activations(tokens, shape, checkpointing=True) == tokens * 2048 * (2 * 28 + 34)
    assert memory.activations(tokens, shape, checkpointing=False) == tokens * 2048 * 34 * 28


@given(shapes, st.integers(1, 9), st.integers(1, 9))
def test_twice_the_rank_is_twice_the_adapter_and_twice_the_tokens_twice_the_activations(
    shape: Shape, rank: int, tokens: int
) -> None:
    assert memory.adapter_weights(2 * rank, shape) == 2 * memory.adapter_weights(rank, shape)
    for checkpointing in (True, False):
        once, twice = (memory.activations(many * tokens, shape, checkpointing) for many in (1, 2))
        assert twice == 2 * once


@given(shapes, st.integers(1, 99))
def test_checkpointing_never_keeps_more_than_a_layer_above_what_is_kept_without(shape: Shape, tokens: int) -> None:
    saved = memory.activations(tokens, shape, checkpointing=False) - memory.activations(tokens, shape, checkpointing=True)
    assert saved == tokens * shape.hidden * (32 * shape.layers - 34)


@given(shapes)
def test_what_sharded_training_gathers_is_never_more_than_a_copy_of_the_model_and_a_layer(shape: Shape) -> None:
    whole = memory.weights_of(shape, tied=True)
    assert memory.gathered(whole, shape) <= memory.HALF * whole * (1 + 1 / shape.layers) + 1e-6
