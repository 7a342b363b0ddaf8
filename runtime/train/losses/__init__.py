"""Objectives that no package has: pure functions of tensors, one module a method."""
