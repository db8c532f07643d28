"""What is trained on a user's own data sets: a reranker, and whatever else learns from questions with evidence."""
