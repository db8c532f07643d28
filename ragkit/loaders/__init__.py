"""One file per format; each turns a path into documents with structure and exact offsets."""
