"""Small things that are worked by hand, and compared."""
