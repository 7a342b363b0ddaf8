"""Training with TRL's own trainers: one module an algorithm, each with a `trainer(setup)`; the losses stay in TRL."""
