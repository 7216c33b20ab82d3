"""Fused operators: one folder each, with its definition and the kernels side by side."""
