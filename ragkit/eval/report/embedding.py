"""Data and code inside a page: JSON that cannot end its script element, and the policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from typing import Any

from markupsafe import Markup

ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
"""Characters that mean something to HTML occur in JSON only within strings, where an escape says the same."""


def json_script(name: str, value: Any) -> Markup:
    """Return a script element of type application/json with the id `name` that holds `value` and cannot be left.

    Numbers that JSON does not have (NaN, infinities) become null.
    """
    try:
        text = _written(value)
    except ValueError:  # rare, and looking for such numbers first would take longer than writing
        text = _written(_finite(value))
    # a lone surrogate cannot be encoded; JSON can write it as an escape, but no reader could show it
    text = text.encode("utf-8", "replace").decode("utf-8").translate(ESCAPES)
    return Markup('<script type="application/json" id="{}">').format(name) + Markup(text) + Markup("</script>")  # noqa: S704 # escaped above


def policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy under which only this style sheet and this script work; nothing is fetched."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
