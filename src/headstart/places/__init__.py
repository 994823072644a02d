"""Where bytes are: folders, archives, URLs, caches, limits; images decoded."""
