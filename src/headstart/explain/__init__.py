"""Why weights differ: neighbors, activations, composition, findings."""
