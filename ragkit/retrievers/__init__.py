"""One file per way of finding chunks."""
