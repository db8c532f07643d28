"""A model's JSON to an instance of its schema."""

from __future__ import annotations

from pydantic import ValidationError

from ragkit.errors import SchemaError
from ragkit.protocols import Record


def parsed_record(schema: type[Record], text: str, place: int, max_tokens: int) -> Record:
    """Return the instance that `text` spells; raise SchemaError, naming the prompt at `place`, where it spells none."""
    try:
        return schema.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            raise SchemaError(
                f"The reply to prompt {place} did not complete its {schema.__name__} within {max_tokens} tokens.",
                hint="Raise max_tokens, or bound the schema: max_length for strings and lists.",
                reply=text,
            ) from error
        where = ".".join(str(part) for part in first["loc"])
        raise SchemaError(
            f"The reply to prompt {place} is no {schema.__name__}: {where}: {first['msg']}.",
            hint="Say in the prompt what is valid, or relax the schema.",
            reply=text,
        ) from error
