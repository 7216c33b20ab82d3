"""Membrane quantizers: how membranes are stored between time steps."""
