"""A language model that can read one kind of sentence, and judge by the words of others."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import ValidationError

from ragkit.budget import Price
from ragkit.errors import SchemaError
from ragkit.identity import content_hash
from ragkit.protocols import Prompt


class Reader:
    """Answers with the sentence of a source that the question is about; a closed book gets a refusal.

    `asked` and `judged` hold the prompts of all instances; the call `stop_at` is interrupted, and a prompt that holds
    one of `broken` gets a judgement that does not fit.
    """

    asked: ClassVar[list[str]] = []
    judged: ClassVar[list[str]] = []
    stop_at: ClassVar[int] = 0
    broken: ClassVar[Sequence[str]] = ()
    cheap = True
    template_tokens = 3
    window = 2000

    def __init__(self, size: str = "small", price: Price | None = None) -> None:
        self.name = f"reader-{size}"
        self.fingerprint = content_hash("reader", size=size)
        self.price = price

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def generate(self, prompt: Prompt, **options: Any) -> str:
        return self.generate_many([prompt], **options)[0]

    def generate_many(self, prompts: Sequence[Prompt], *, max_tokens: int, **_: Any) -> list[str]:
        return [self._reply(prompt, max_tokens) for prompt in prompts]

    def generate_records(self, prompts: Sequence[Prompt], schema: Any, **_: Any) -> list[Any]:
        return [self._record("".join(part.text for part in prompt), schema) for prompt in prompts]

    def score(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    label_probabilities = score

    def _reply(self, prompt: Prompt, max_tokens: int) -> str:
        text = "".join(part.text for part in prompt)
        type(self).asked.append(text)
        if len(self.asked) == self.stop_at:
            raise KeyboardInterrupt
        sources, _, question = text.rpartition("Question: ")
        about = re.search(r"that (the .+)\?", question)
        found = re.search(rf"{about.group(1)} in season \d\.", sources, re.IGNORECASE) if about else None
        return " ".join((found.group() if found else "I do not know.").split()[:max_tokens])

    def _record(self, text: str, schema: Any) -> Any:
        type(self).judged.append(text)
        fields = schema.model_json_schema()["properties"]
        if "rating" in fields:
            made: Any = {"rating": 0 if "I do not know" in text else 4}
        else:
            word = "relevant" if "irrelevant" in json.dumps(fields) else "supported"
            made = {name: [word] * field["minItems"] for name, field in fields.items()}
        if any(word in text for word in self.broken):
            made = {"nothing": "of use"}
        try:
            return schema.model_validate(made)
        except ValidationError as error:
            raise SchemaError("It does not fit.", reply=json.dumps(made)) from error
