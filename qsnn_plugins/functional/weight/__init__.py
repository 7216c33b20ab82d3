"""Weight quantizers, and what they share."""
