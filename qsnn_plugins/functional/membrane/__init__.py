"""Membrane quantizers: what is stored of a membrane from step to step."""
