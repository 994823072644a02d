"""How promising weights look before any of them is fine-tuned, and what such a screen is worth."""
