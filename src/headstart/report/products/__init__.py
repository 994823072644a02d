"""All candidates of a comparison beside each other that has whole detectors."""
