"""What steers a pipeline from a question to its answer: SAGE's feedback loop and corrective retrieval."""
