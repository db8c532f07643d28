"""From a selection to an answer: the prompt, the model's reply, and the spans that support it."""
