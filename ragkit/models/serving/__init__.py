"""What it takes to ask a model server: connection and retries, pace, budgets, bulk, and the four abilities."""
