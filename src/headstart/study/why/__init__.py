"""Why one candidate is better than another: which pairs are explained, and what was found."""
