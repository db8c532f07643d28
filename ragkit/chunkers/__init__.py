"""One file per chunker; each yields documents with chunks whose spans are exact from birth."""
