"""What is added to the text that is embedded and searched; the text that is shown never changes."""
