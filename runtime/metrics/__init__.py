"""What unlearning is measured by: a small module of pure functions for each family, and the job that computes them together."""
