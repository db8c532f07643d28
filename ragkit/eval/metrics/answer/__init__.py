"""What an answer is worth: against gold answers, against its sources, and whether it should have been given."""
