"""ragkit: documents to chunks, questions to answers with exact sources."""
