"""Settings of studies."""
