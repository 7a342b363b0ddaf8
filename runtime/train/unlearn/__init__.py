"""Unlearning: training away from a forget set F while holding on to a retain set R, by the objectives of `train/losses/`."""
