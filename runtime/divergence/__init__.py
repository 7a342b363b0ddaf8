"""How far a model has moved from another: the KL divergence between the answers that they give.

`kl` has the formula, `along` takes it along sampled answers, `measure` is the job.
"""
