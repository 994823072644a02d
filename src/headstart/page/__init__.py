"""HTML and SVG from plain results."""
