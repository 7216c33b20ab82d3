"""Object detection: geometry of boxes, grid, loss and decoding."""
