"""One file per way of choosing what goes into the prompt."""
