"""One instance of a language model for all parts that name the same one: weights are loaded once, one rate is kept."""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakValueDictionary

_lock = threading.Lock()
_living: WeakValueDictionary[str, Any] = WeakValueDictionary()


def shared_instance(constructor: type[Any], options: Mapping[str, Any], make: Callable[[], Any]) -> Any:
    """Return the living instance of `constructor` with equal options, else what `make` returns.

    Defaults count as given, so a model named by its default name is the unnamed one. An instance lives as long as
    somebody holds it. Options that JSON cannot tell apart make an instance of their own.
    """
    parameters = inspect.signature(constructor).parameters.values()
    defaults = {one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty}
    try:
        told = json.dumps({**defaults, **options}, sort_keys=True)
    except TypeError:
        return make()
    key = f"{constructor.__module__}.{constructor.__qualname__} {told}"
    with _lock:
        found = _living.get(key)
        if found is None:
            found = make()
            _living[key] = found
    return found
