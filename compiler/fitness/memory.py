"""How many bytes a job takes of a GPU and of its node, from numbers alone.

Formulas are upper estimates of what stays for long; buffers of libraries are not counted. Sources: Rajbhandari et al. 2020
(ZeRO, arXiv 1910.02054) for what a weight costs in training and how sharding divides it, Korthikanti et al. 2022 (arXiv
2205.05198) for activations, Hu et al. 2021 (arXiv 2106.09685) for adapters, Kwon et al. 2023 (arXiv 2309.06180) for the cache
of keys and values.
"""

from __future__ import annotations

from dataclasses import dataclass

from compiler.language.definitions import Shape

GB = 1e9
HALF, SINGLE = 2, 4  # bytes of a number in bfloat16 and in float32
BATCHED_TOKENS = 8192  # what vLLM reads at once, by its default for offline sampling
SEQUENCES = 256  # how many answers it writes at once, by default


@dataclass(frozen=True)
class PerWeight:
    """Bytes of one trained weight: itself, its gradient, and what the optimizer keeps of it."""

    weight: int
    gradient: int
    moments: int

    @property
    def whole(self) -> int:
        return self.weight + self.gradient + self.moments


def per_weight(precision: str) -> PerWeight:
    """Adam keeps two moments in the weights' format: 16 bytes a weight in float32, also if arithmetic is not, 8 in bf16."""
    each = HALF if precision == "bf16" else SINGLE
    return PerWeight(each, each, 2 * each)


def weights_of(shape: Shape, tied: bool) -> float:
    """How many weights a decoder with grouped queries and a gated feed-forward has, but for norms and biases."""
    embeddings = shape.vocabulary * shape.hidden * (1 if tied else 2)
    return embeddings + shape.layers * sum(inner * outer for inner, outer in _linear(shape))


def adapter_weights(rank: int, shape: Shape) -> float:
    """How many weights a low-rank adapter on every linear layer has: rank x (inputs + outputs) for each."""
    return float(rank * shape.layers * sum(inner + outer for inner, outer in _linear(shape)))


def _linear(shape: Shape) -> list[tuple[int, int]]:
    """Inputs and outputs of the linear layers of one block: queries, keys, values, output, gate, up, down."""
    queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    attention = [(shape.hidden, queries), (shape.hidden, keys), (shape.hidden, keys), (queries, shape.hidden)]
    return [*attention, *[(shape.hidden, shape.feed_forward)] * 2, (shape.feed_forward, shape.hidden)]


def activations(tokens: int, shape: Shape, checkpointing: bool) -> float:
    """Bytes kept for the backward pass of one micro-batch of so many tokens, in 16 bits.

    A layer keeps 34 bytes a token and hidden unit, without the attention's scores, which fused kernels never store; with
    gradient checkpointing each layer keeps its input alone, and one at a time is computed again.
    """
    layer = 34.0 * tokens * shape.hidden
    return HALF * tokens * shape.hidden * shape.layers + layer if checkpointing else layer * shape.layers


def logits(tokens: int, vocabulary: int) -> float:
    """Bytes of the scores over the vocabulary: in 16 bits, their copy in float32, and its gradient."""
    return float((HALF + 2 * SINGLE) * tokens * vocabulary)


def gathered(parameters: float, shape: Shape) -> float:
    """Bytes that sharded training puts together for arithmetic: the embedding, one layer, and the next ahead of its turn."""
    embedding = shape.vocabulary * shape.hidden
    return HALF * (embedding + 2 * max(0.0, parameters - embedding) / shape.layers)


def cache_token(shape: Shape) -> float:
    """Bytes of one token's keys and values in all layers, in 16 bits."""
    return float(2 * HALF * shape.layers * shape.kv_heads * shape.head_size)


def sampling_workspace(shape: Shape, gpus: int) -> float:
    """Bytes that vLLM sets aside on each GPU beside weights and cache: one full batch's feed-forward, hidden states, scores."""
    batch = HALF * BATCHED_TOKENS * (2 * shape.feed_forward / gpus + 4 * shape.hidden)
    return batch + SINGLE * SEQUENCES * shape.vocabulary
