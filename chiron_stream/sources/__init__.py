"""Where rows come from: files so far. Reading gives columns; the schema decides what is kept."""
