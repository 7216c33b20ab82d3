"""Fused operators: one folder each, with the reference and the kernels."""
