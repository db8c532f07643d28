"""SAGE's loop: answer, let a judge grade it, move the amount of context, answer again (arXiv 2503.01713).

| mode | returns | changes |
| --- | --- | --- |
| ragkit | the best-graded answer | what was selected: one chunk fewer or more |
| paper | the last answer | the selector's setting, which often leaves the selection, and so the prompt, as it was |

A selection that was tried before ends the loop: at temperature 0 nothing would change. Each round costs an answer and a
judgement. A judge that is the answering model prefers its own answers: name another one with `model`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from ragkit.controllers.adjusting import larger, smaller
from ragkit.controllers.judging import STEPS, Failure, HeuristicJudge, Judge, ModelJudge, Review
from ragkit.errors import BudgetExceededError, ConfigError, ModelError, UnsupportedError, UsageError
from ragkit.protocols import Asking, LanguageModel
from ragkit.schema import Answer, Hit, Selection

Mode = Literal["ragkit", "paper"]
Adjust = Literal["effective", "setting"]
Returns = Literal["best", "last"]
_SPENT = "the budget is spent"


@dataclass(frozen=True, slots=True)
class _Round:
    selection: Selection
    answer: Answer
    review: Review | Failure | None
    """None where the budget was spent before the judge was asked."""

    @property
    def grade(self) -> int:
        """The judge's grade, 0 without one."""
        return self.review.score if isinstance(self.review, Review) else 0

    @property
    def step(self) -> int:
        """Which way the judge moves the context: -1, 0 or 1."""
        return STEPS[self.review.context] if isinstance(self.review, Review) else 0

    def trace(self, number: int) -> dict[str, Any]:
        """Return what the trace says of it."""
        found: dict[str, Any] = {
            "round": number,
            "kept": self.answer.trace.get("kept", []),
            "tokens": self.selection.tokens,
            "answer": self.answer.text,
        }
        match self.review:
            case Review():
                return found | self.review.model_dump()
            case Failure():
                return found | {"failed": self.review.reason}
            case None:
                return found


class FeedbackController:
    """Answers up to `rounds` times, until a judge grades the answer `accept` or better."""

    name = "feedback"

    def __init__(
        self,
        mode: Mode = "ragkit",
        judge: Literal["model", "heuristic"] = "model",
        *,
        rounds: int = 3,
        accept: int = 9,
        returns: Returns | None = None,
        adjust: Adjust | None = None,
        language_model: LanguageModel | None = None,
    ) -> None:
        """Judge with `language_model`.

        Args:
            mode: ragkit or paper; None below leaves a setting to it.
            judge: The model, or a heuristic that looks at words only.
            rounds: Most answers.
            accept: The grade, 1 to 10, that ends the loop. Models grade most answers 8 or 9: look at yours first.
            returns: The best-graded answer (the earlier of equals), or the last.
            adjust: "effective" takes the last chunk away or adds the next; "setting" changes the selector's k or min_k.
            language_model: Grades answers; by default the one that answers.
        """
        for option, value, most in (("rounds", rounds, None), ("accept", accept, 10)):
            if value < 1 or (most is not None and value > most):
                wanted = "at least 1" if most is None else f"1 to {most}"
                raise ConfigError(f"{option} is {value}; expected {wanted}.", hint=f"Correct {option}.")
        self._mode = mode
        self._rounds, self._accept = rounds, accept
        self._returns: Returns = returns or ("last" if mode == "paper" else "best")
        self._adjust: Adjust = adjust or ("setting" if mode == "paper" else "effective")
        self._judge: Judge
        if judge == "heuristic":
            self._judge = HeuristicJudge()
        elif language_model is None:
            raise UsageError(
                "The feedback controller needs `language_model`, which was not given.",
                hint="Make it through a Pipeline, pass it, or use judge: heuristic.",
            )
        else:
            self._judge = ModelJudge(language_model)

    def control(self, asking: Asking) -> Answer:
        """Return the answer of the round that `returns` names.

        Raises what the steps raise in the first round; a budget that is spent later, or a model that fails then, ends
        the loop.
        """
        hits = asking.retrieve()
        selection = asking.select(hits)
        tried = [_chunks(selection)]
        rounds: list[_Round] = []
        setting = 0
        while True:
            try:
                rounds.append(self._round(asking, hits, selection))
                end = self._end(rounds)
                if end is not None:
                    return self._ended(rounds, end)
                step = rounds[-1].step
                setting += step
                moved = self._moved(asking, hits, selection, step, setting)
            except (BudgetExceededError, ModelError, UnsupportedError) as error:
                if not rounds:
                    raise
                return self._ended(rounds, _SPENT if isinstance(error, BudgetExceededError) else error.message)
            if moved is None:
                return self._ended(rounds, "nothing can be removed" if step < 0 else "nothing that fits can be added")
            if _chunks(moved) in tried:
                return self._ended(rounds, "the selection was tried before")
            selection = moved
            tried.append(_chunks(selection))

    def _round(self, asking: Asking, hits: list[Hit], selection: Selection) -> _Round:
        answer = asking.answer(selection, hits)
        if not selection.hits:
            return _Round(selection, answer, None)
        try:
            review = self._judge.review(asking.question, selection.hits, answer.text, asking.meter)
        except BudgetExceededError:
            return _Round(selection, answer, None)
        return _Round(selection, answer, review)

    def _end(self, rounds: list[_Round]) -> str | None:
        """Return why the loop ends here, None where it goes on."""
        last = rounds[-1]
        if last.review is None:
            return _SPENT if last.selection.hits else "nothing was selected"
        if isinstance(last.review, Failure):
            return f"the judge did not answer: {last.review.reason}"
        if last.review.score >= self._accept:
            return f"graded {last.review.score}, at least {self._accept}"
        if last.review.context == "keep":
            return "the judge wants no other context"
        return None if len(rounds) < self._rounds else f"{self._rounds} rounds are over"

    def _moved(
        self, asking: Asking, hits: list[Hit], selection: Selection, step: int, setting: int
    ) -> Selection | None:
        if self._adjust == "setting":
            return asking.select(hits, larger=setting)
        return smaller(selection, asking) if step < 0 else larger(selection, asking)

    def _ended(self, rounds: list[_Round], why: str) -> Answer:
        failed = isinstance(rounds[-1].review, Failure)
        at = len(rounds) - 1
        if self._returns == "best" and not failed:  # an answer that cannot be judged is accepted
            at = max(range(len(rounds)), key=lambda place: (rounds[place].grade, -place))
        answer = rounds[at].answer
        trace = {
            "name": self.name,
            "mode": self._mode,
            "judge": self._judge.name,
            "rounds": [one.trace(number) for number, one in enumerate(rounds, 1)],
            "returned": at + 1,
            "stopped": why,
            "feedback_failed": failed,
        }
        return replace(answer, trace={**answer.trace, "controller": trace})


def _chunks(selection: Selection) -> frozenset[str]:
    return frozenset(hit.chunk_id for hit in selection.hits)
