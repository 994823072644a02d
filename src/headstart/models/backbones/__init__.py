"""Networks that give C2 to C5."""
