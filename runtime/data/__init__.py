"""Rows and data sets: reading and writing them, which answers become training data, and how several become one."""
