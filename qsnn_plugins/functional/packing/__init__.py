"""Integer codes of quantized values, packed into bits."""
