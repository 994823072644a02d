"""Named, versioned training settings."""
