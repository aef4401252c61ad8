"""Programs that show the whole."""
