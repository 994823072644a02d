"""SNIPER's chips: laid, cut, batched."""
