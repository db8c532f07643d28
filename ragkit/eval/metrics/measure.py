"""Measures as values: `nDCG(gain="exponential")@10` prints as it is written, hashes, compares and can be a key.

The shape follows ir_measures: calling a measure sets options, `@` sets the cut-off, and neither changes the original.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ragkit.errors import UsageError
from ragkit.eval.metrics.cutoff import BUDGETS, Cutoff, CutoffKind
from ragkit.plugins import suggestion

Value = bool | int | float | str
Family = Literal["retrieval", "answer", "segmentation"]
Needs = Literal["hits", "citations", "segments", "gold", "target", "sources", "refusal", "similarity", "judge", "flags"]
"""What a measure looks at: hits or citations and their evidence; gold segments; an answer and its gold answers, the
target of an attacker, the sources it was given, nothing else (whether it refuses), vectors, or what a judge said; or
what a selector kept and turned out."""
_NEEDS: Mapping[Family, Needs] = {"retrieval": "hits", "answer": "gold", "segmentation": "segments"}


@dataclass(frozen=True, slots=True)
class Option:
    """What an option may be: its default, which also fixes its type, and either the choices or a range."""

    default: Value
    choices: tuple[str, ...] = ()
    low: float = float("-inf")
    high: float = float("inf")

    def checked(self, name: str, value: object) -> Value:
        """Return `value` in the option's type, or raise UsageError saying what was expected."""
        kind = type(self.default)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        # type() rather than isinstance, because True is an int
        if type(value) is kind and (not self.choices or value in self.choices):
            accepted: Any = value
            if not isinstance(accepted, (int, float)) or self.low <= accepted <= self.high:
                return accepted  # type: ignore[no-any-return] # its type is that of the default
        near = suggestion(str(value), list(self.choices)) if self.choices else ""
        raise UsageError(
            f"The option {name} cannot be {value!r}: {self.expected()} was expected.", hint=near or "Correct the value."
        )

    def expected(self) -> str:
        """Return in words what the option takes."""
        if self.choices:
            return "one of " + ", ".join(f'"{choice}"' for choice in self.choices)
        kind = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}[type(self.default)]
        if self.low == float("-inf"):
            return kind
        return f"{kind} from {self.low:g}" + ("" if self.high == float("inf") else f" to {self.high:g}")


@dataclass(frozen=True, slots=True, eq=False)
class Declaration:
    """What a measure is called, what it takes, and the function that computes it.

    `score` gets, by `family`: "retrieval" (a Scoring, the cut-off, the options) -> values per query; "segmentation"
    (gold boundaries, predicted ones, the number of units, the options) -> a number; "answer" by what it `needs`: "gold"
    or "target" (prediction, gold answer or target, the options), "sources" (prediction, their texts, the options),
    "refusal" (prediction), "similarity" and "judge" (a Judged, the options), "flags" (a Screened, the options) -> a
    number. `ordered` says that the order
    of the hits matters even without a cut-off.
    """

    name: str
    family: Family
    summary: str
    score: Callable[..., Any]
    options: Mapping[str, Option] = field(default_factory=dict)
    cutoffs: frozenset[CutoffKind] = frozenset()
    ordered: bool = False
    lower_is_better: bool = False
    needs: Needs = "hits"

    def settings(self, given: Mapping[str, object]) -> dict[str, Value]:
        """Return all options, those in `given` checked and the rest at their defaults."""
        for name in given:
            if name not in self.options:
                valid = list(self.options)
                raise UsageError(
                    f"The measure {self.name} has no option {name!r}.",
                    hint=f"{suggestion(name, valid)} Options: {', '.join(valid) or 'none'}.".lstrip(),
                )
        return {
            name: option.checked(name, given[name]) if name in given else option.default
            for name, option in self.options.items()
        }


@dataclass(frozen=True, slots=True, repr=False)
class Measure:
    """A declared measure with its options and cut-off.

    >>> from ragkit.eval.metrics import Recall, tokens
    >>> Recall(redundancy="union")@tokens(400)
    Recall(redundancy="union")@tokens(400)
    """

    declaration: Declaration
    cutoff: Cutoff | None = None
    settings: tuple[tuple[str, Value], ...] = ()
    written: tuple[tuple[str, Value], ...] = field(default=(), compare=False)

    @property
    def name(self) -> str:
        """The measure's name without options and cut-off."""
        return self.declaration.name

    def __call__(self, **options: Value) -> Measure:
        """Return the measure with `options` set; raise UsageError for an unknown one or a bad value."""
        given = {**dict(self.written), **options}
        settings = self.declaration.settings(given)
        written = tuple((name, settings[name]) for name in given)
        return Measure(self.declaration, self.cutoff, tuple(settings.items()), written)

    def __matmul__(self, cutoff: int | Cutoff) -> Measure:
        """Return the measure cut at `cutoff`; raise UsageError where that is not defined."""
        wanted = cutoff if isinstance(cutoff, Cutoff) else Cutoff("k", cutoff)
        if wanted.kind not in self.declaration.cutoffs:
            allowed = " or ".join(f"@{kind}" for kind in sorted(self.declaration.cutoffs))
            raise UsageError(
                f"The measure {self.name} cannot be taken @{wanted}.",
                hint=f"It is defined {allowed or 'without a cut-off only'}.",
            )
        return Measure(self.declaration, wanted, self.settings, self.written)

    def __str__(self) -> str:
        options = ", ".join(f"{name}={_literal(value)}" for name, value in self.written)
        return f"{self.name}{f'({options})' if options else ''}{'' if self.cutoff is None else f'@{self.cutoff}'}"

    __repr__ = __str__


def _literal(value: Value) -> str:
    """Return what Python reads back as `value`, texts always in double quotes."""
    if not isinstance(value, str):
        return repr(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    shown = (one if one.isprintable() else one.encode("unicode_escape").decode() for one in escaped)
    return f'"{"".join(shown)}"'


def declare(
    name: str,
    family: Family,
    score: Callable[..., Any],
    summary: str,
    *,
    cutoffs: frozenset[CutoffKind] | None = None,
    ordered: bool = False,
    lower_is_better: bool = False,
    needs: Needs | None = None,
    **options: Option,
) -> Measure:
    """Return the measure `name` with its defaults; retrieval measures take every cut-off but "adaptive" unless told."""
    allowed = cutoffs if cutoffs is not None else (BUDGETS if family == "retrieval" else frozenset())
    declaration = Declaration(
        name, family, summary, score, options, allowed, ordered, lower_is_better, needs or _NEEDS[family]
    )
    return Measure(declaration, None, tuple(declaration.settings({}).items()))
