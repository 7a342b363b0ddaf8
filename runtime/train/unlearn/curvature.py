"""Gradients and Hessian-vector products of a recorded training's losses, at whatever weights the model now has.

All parameters are one flat vector of float32, in the model's order: the weights themselves are views of it, so that moving the
vector moves the model. The loss of a step S is (1/|S|) sum over its rows of l_i, l_i being the mean negative log-likelihood of
the row's labels. Of only some of its rows the sum is shorter, and |S| stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from runtime.prompts import Tokens
from runtime.train.losses.sequences import sequence_means
from runtime.train.unlearn.reference import logits_of
from runtime.train.unlearn.sequences import in_batches

HESSIANS = ("exact", "fisher", "diag")


class Curvature:
    """The losses of `rows` (sequences by their numbers) of one model, `at_once` rows a forward pass.

    `products` counts Hessian-vector products and `gradients` gradients, each of one step's rows.
    """

    def __init__(self, model: Any, rows: Sequence[Tokens], pad: int, at_once: int) -> None:
        self.model = model
        self.rows = rows
        self.pad = pad
        self.at_once = at_once
        self.names = [name for name, _ in model.named_parameters()]
        self.parameters = [weight for _, weight in model.named_parameters()]
        self.weights = parameters_to_vector(self.parameters).detach().clone()
        vector_to_parameters(self.weights, self.parameters)
        self.products = self.gradients = 0

    def flat(self, named: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What a record has by names, as one vector."""
        return torch.cat([named[name].reshape(-1) for name in self.names]).to(self.weights)

    def gradient(self, rows: Sequence[int], of: int) -> torch.Tensor:
        """(1/of) sum of the gradients of these rows' losses."""
        self.gradients += 1
        found = torch.zeros_like(self.weights)
        for loss in self._losses(rows, of):
            self._add(found, torch.autograd.grad(loss, self.parameters, materialize_grads=True))
        return found

    def times(self, hessian: str, rows: Sequence[int], of: int, vectors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """H v for each vector. `exact`: the loss's Hessian; of the gradient g, `fisher`: g (g.v), `diag`: g * g * v."""
        if hessian == "exact":
            return self._exact(rows, of, vectors)
        gradient = self.gradient(rows, of)
        if hessian == "fisher":
            return [gradient * torch.dot(gradient, vector) for vector in vectors]
        return [gradient.square() * vector for vector in vectors]

    def _exact(self, rows: Sequence[int], of: int, vectors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """By a second backward pass through the gradient's own (Pearlmutter 1994)."""
        self.products += len(vectors)
        found = [torch.zeros_like(vector) for vector in vectors]
        for loss in self._losses(rows, of):
            first = torch.autograd.grad(loss, self.parameters, create_graph=True, materialize_grads=True)
            for number, vector in enumerate(vectors):
                along = torch.stack([(one * part).sum() for one, part in zip(first, self._parts(vector), strict=True)]).sum()
                more = number + 1 < len(vectors)
                self._add(found[number], torch.autograd.grad(along, self.parameters, retain_graph=more, materialize_grads=True))
        return found

    def _losses(self, rows: Sequence[int], of: int) -> Iterator[torch.Tensor]:
        """The loss of each micro-batch. Attention is computed in plain steps: the fused one has no second derivative."""
        for part in in_batches([self.rows[row] for row in rows], self.at_once, self.pad):
            held = {name: values.to(self.weights.device) for name, values in part.items()}
            with sdpa_kernel(SDPBackend.MATH):
                logits = logits_of(self.model, held)
            yield sequence_means(logits, held["labels"]).sum() / of

    def _parts(self, vector: torch.Tensor) -> list[torch.Tensor]:
        """A vector as views of it in the parameters' shapes, so that no second one of its size is made."""
        split = vector.split([weight.numel() for weight in self.parameters])
        return [part.view_as(weight) for part, weight in zip(split, self.parameters, strict=True)]

    def _add(self, vector: torch.Tensor, parts: Sequence[torch.Tensor]) -> None:
        for place, part in zip(self._parts(vector), parts, strict=True):
            place += part
