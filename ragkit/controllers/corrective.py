"""Corrective retrieval: grade what was found, then use it, narrow it, or look again (after CRAG, arXiv 2401.15884).

| branch | when | what follows |
| --- | --- | --- |
| correct | a chunk is graded `upper` or better | only such chunks are used |
| incorrect | all are graded `lower` or worse | all are left out, and retrieval is tried again |
| ambiguous | neither | retrieval is tried again, and both are used |

Again means: the question in other words (a language model), more chunks, another retriever. There is no web search.
What is used is narrowed to the sentences graded `strip` or better. Only new chunks are graded in a further round.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from ragkit.controllers.grading import CoverageGrader, Grader, ModelGrader, RerankerGrader
from ragkit.errors import BudgetExceededError, ConfigError, ModelError, ServerError, UsageError
from ragkit.protocols import Asking, LanguageModel, Reranker, Segment
from ragkit.schema import Answer, Dropped, Hit, Selection
from ragkit.selectors.extractive_parts import Narrowing
from ragkit.selectors.extractive_scoring import Split

Branch = Literal["correct", "incorrect", "ambiguous"]

_TOKENS = 96
_REWRITE = (
    "Write a search query that finds passages which answer the question below, in other words than its own. Keep names "
    "and numbers. Reply with JSON: the query.\n\nQUESTION: {question}"
)


class Rewritten(BaseModel):
    """A question in other words."""

    query: str = Field(min_length=1, max_length=200)


@dataclass(slots=True)
class _Found:
    """Everything found so far with its grades, best first, and what each round did."""

    hits: list[Hit] = field(default_factory=list)
    grades: dict[str, float] = field(default_factory=dict)
    ungraded: list[str] = field(default_factory=list)
    rounds: list[dict[str, Any]] = field(default_factory=list)


class CorrectiveController:
    """Grades retrieved chunks, looks again where they do not suffice, and answers from what does."""

    name = "corrective"
    default_reranker: ClassVar[str] = "cosine"

    def __init__(
        self,
        grader: Literal["reranker", "model", "coverage"] = "reranker",
        *,
        upper: float = 0.7,
        lower: float = 0.3,
        strip: float = 0.5,
        refine: bool = True,
        rounds: int = 2,
        rewrite: bool = True,
        widen: int = 2,
        retriever: str | None = None,
        when_incorrect: Literal["abstain", "answer"] = "abstain",
        calibration: str | Mapping[str, Any] = "auto",
        reranker: Reranker | None = None,
        language_model: LanguageModel | None = None,
        sentences: Split | None = None,
    ) -> None:
        """Grade with `reranker` unless `grader` says otherwise.

        Args:
            grader: The reranker (cosine by default), the language model (one call a chunk), or the words in common.
            upper: Grade from which one chunk makes a retrieval correct.
            lower: Grade up to which all make it incorrect.
            strip: Grade that a sentence must reach to be kept.
            refine: Narrow chunks to such sentences, the best one at least.
            rounds: Most retrievals.
            rewrite: Let the language model put the question into other words for a further retrieval.
            widen: A further retrieval asks for so many times more chunks.
            retriever: What a further retrieval uses; None: the same.
            when_incorrect: Say that nothing was found, or answer from the chunks although none is good.
            calibration: Of the reranker's scores onto [0, 1].
            reranker: Grades chunks and sentences.
            language_model: Rewrites, and grades where it is the grader; by default the one that answers.
            sentences: Splits a text.
        """
        if not 0 <= lower < upper <= 1 or not 0 <= strip <= 1:
            raise ConfigError(
                f"lower is {lower}, upper {upper} and strip {strip}; expected 0 <= lower < upper <= 1.",
                hint="The defaults are 0.3, 0.7 and 0.5; strip is from 0 to 1.",
            )
        for option, value in (("rounds", rounds), ("widen", widen)):
            if value < 1:
                raise ConfigError(f"{option} is {value}; expected at least 1.", hint=f"Raise {option}.")
        self._upper, self._lower, self._strip = upper, lower, strip
        self._rounds, self._widen, self._retriever = rounds, widen, retriever
        self._when_incorrect = when_incorrect
        self._split: Split | None = _required(sentences, "sentences") if refine else None
        self._rewriter: LanguageModel | None = _required(language_model, "language_model") if rewrite else None
        self._grader: Grader
        match grader:
            case "reranker":
                self._grader = RerankerGrader(_required(reranker, "reranker"), calibration)
            case "model":
                self._grader = ModelGrader(_required(language_model, "language_model"))
            case "coverage":
                self._grader = CoverageGrader()

    def control(self, asking: Asking) -> Answer:
        """Return the answer from what is good enough.

        Raises what the steps and the models raise; a budget that is spent while looking again ends only that.
        """
        found = _Found()
        branch, why = self._look(asking, found)
        good, discarded = self._used(found, branch)
        selection = asking.select(good)
        if self._split is not None and selection.hits:
            selection = self._narrowed(asking, selection, self._split)
        selection = replace(selection, dropped=(*selection.dropped, *discarded))
        answer = asking.answer(selection, found.hits)
        trace = {
            "name": self.name,
            "grader": self._grader.name,
            "branch": branch,
            "rounds": found.rounds,
            "stopped": why,
            "grades": found.grades,
            "ungraded": found.ungraded,
        }
        return replace(answer, trace={**answer.trace, "controller": trace})

    def _look(self, asking: Asking, found: _Found) -> tuple[Branch, str]:
        """Retrieve until a chunk is good enough, nothing new is found, or the rounds are over."""
        branch: Branch = "incorrect"
        for number in range(1, self._rounds + 1):
            try:
                query, note = self._query(asking, number)
                first = number == 1
                k = asking.k * self._widen ** (number - 1)
                hits = asking.retrieve(query, k=k, retriever=None if first else self._retriever)
                known = {hit.chunk_id for hit in found.hits}
                new = [hit for hit in {hit.chunk_id: hit for hit in hits}.values() if hit.chunk_id not in known]
                self._grade(asking, found, new)
            except BudgetExceededError:
                if number == 1:
                    raise
                return branch, "the budget is spent"
            branch = self._branch(found)
            found.rounds.append({"round": number, "query": query, "k": k, "new": len(new), "branch": branch, **note})
            if branch == "correct":
                return branch, f"a chunk is graded {self._upper:g} or better"
            if number > 1 and not new:
                return branch, "nothing new was found"
        return branch, f"{self._rounds} rounds are over"

    def _query(self, asking: Asking, number: int) -> tuple[str, dict[str, str]]:
        """Return what is searched for in a round."""
        if number == 1 or self._rewriter is None:
            return asking.question, {}
        prompt = [Segment(_REWRITE.format(question=asking.question.strip()))]
        try:
            (found,) = self._rewriter.generate_records(
                [prompt], Rewritten, max_tokens=_TOKENS, meter=asking.meter.stage("rewrite")
            )
        except ServerError:
            raise
        except ModelError as error:
            return asking.question, {"rewriting_failed": error.message}
        if not any(character.isalnum() for character in found.query):
            return asking.question, {"rewriting_failed": f"{found.query!r} is no query"}
        return found.query.strip(), {}

    def _grade(self, asking: Asking, found: _Found, new: Sequence[Hit]) -> None:
        """Grade new hits and rank all by their grades; one without a grade is ambiguous."""
        grades = self._grader.grades(asking.question, [hit.chunk.index_text for hit in new], asking.meter)
        for hit, grade in zip(new, grades.tolist(), strict=True):
            if math.isnan(grade):
                found.ungraded.append(hit.chunk_id)
                grade = (self._upper + self._lower) / 2  # noqa: PLW2901 - neither good nor bad
            found.grades[hit.chunk_id] = grade
        found.hits = sorted([*found.hits, *new], key=lambda hit: (-found.grades[hit.chunk_id], hit.rank, hit.chunk_id))
        found.hits = [
            replace(hit, rank=rank, score=found.grades[hit.chunk_id]) for rank, hit in enumerate(found.hits, 1)
        ]

    def _branch(self, found: _Found) -> Branch:
        best = max(found.grades.values(), default=0.0)
        return "correct" if best >= self._upper else "incorrect" if best <= self._lower else "ambiguous"

    def _used(self, found: _Found, branch: Branch) -> tuple[list[Hit], tuple[Dropped, ...]]:
        """Return what the answer may use, and the rest with the reason."""
        if branch == "incorrect" and self._when_incorrect == "answer":
            return found.hits, ()
        least, rule = (self._upper, "at least") if branch == "correct" else (self._lower, "more than")
        good = [hit for hit in found.hits if hit.score > least or (branch == "correct" and hit.score == least)]
        kept = {hit.chunk_id for hit in good}
        left = tuple(
            Dropped(hit, f"graded {hit.score:.4g}; {rule} {least:g} is wanted where retrieval is {branch}")
            for hit in found.hits
            if hit.chunk_id not in kept
        )
        return good, left

    def _narrowed(self, asking: Asking, selection: Selection, split: Split) -> Selection:
        """Return `selection` narrowed to good sentences; the best one is kept in any case."""
        work = [Narrowing(hit, split(hit.chunk.text)) for hit in selection.hits]
        pairs = [(item, at) for item in work for at in range(len(item.sentences))]
        if not pairs:
            return selection
        texts = [item.hit.chunk.text[slice(*item.sentences[at])] for item, at in pairs]
        grades = self._grader.grades(asking.question, texts, asking.meter).tolist()
        best = max(range(len(pairs)), key=lambda place: (not math.isnan(grades[place]), grades[place]))
        for place, (item, at) in enumerate(pairs):
            if math.isnan(grades[place]) or grades[place] >= self._strip or place == best:
                item.kept.add(at)
        hits = tuple(part for item in work if item.kept for part in item.parts())
        bare = tuple(
            Dropped(item.hit, f"not one sentence is graded {self._strip:g} or better") for item in work if not item.kept
        )
        tokens = sum(asking.count([hit.chunk.text for hit in hits]))
        return replace(selection, hits=hits, dropped=(*selection.dropped, *bare), tokens=tokens)


def _required(resource: Any, name: str) -> Any:
    if resource is None:
        raise UsageError(
            f"The corrective controller needs `{name}`, which was not given.",
            hint="Make it through a Pipeline, or pass it.",
        )
    return resource
