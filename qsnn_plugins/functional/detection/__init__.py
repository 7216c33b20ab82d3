"""Boxes: their geometry, a detector's grid, its loss and its decoding."""
