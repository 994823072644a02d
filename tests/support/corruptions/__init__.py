"""Sound and damaged annotation files of the formats that readers know."""
