"""What a judge says about answers, and how similar they are to gold answers; from the store where it is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ragkit.budget import Budget
from ragkit.errors import ModelError
from ragkit.eval.experiment.metering import MeteredModel
from ragkit.eval.experiment.store import Store, key
from ragkit.eval.metrics import Measure
from ragkit.eval.metrics.answer.judge import judge
from ragkit.eval.metrics.answer.judged import TASK_OF, needs_similarity
from ragkit.eval.metrics.answer.rubric import RUBRIC_VERSION
from ragkit.eval.metrics.answer.tasks import TASKS, Case, Task
from ragkit.eval.results import AnswerRecord, Call, Judged, SystemHits
from ragkit.eval.types import Query
from ragkit.protocols import Embedder, LanguageModel

BATCH = 32
"""Answers put to the judge in one call."""


@dataclass(frozen=True, slots=True)
class Assessor:
    """Completes answer records with what measures need beyond the answer; `cached` counts replies not asked for."""

    store: Store
    tasks: tuple[Task, ...]
    model: MeteredModel | None
    embedder: Embedder | None

    def assessed(
        self,
        queries: Sequence[Query],
        hits: Sequence[SystemHits],
        records: Sequence[AnswerRecord],
        texts: Mapping[str, str],
        done: Callable[[int], None],
    ) -> tuple[list[AnswerRecord], int]:
        """Return the records with similarities and the judge's replies, and how many replies were not asked for now.

        Only questions that count for answers are judged. Raises what the models raise; all until then is kept.
        """
        places = [place for place, query in enumerate(queries) if query.answerable and query.answers]
        cases = [case_of(queries[at], hits[at], records[at], texts) for at in places]
        said: dict[int, dict[str, Judged]] = {place: {} for place in places}
        from_cache = 0
        for task in self.tasks:
            found, known = self._judged(task, cases, done)
            from_cache += known
            for place, one in zip(places, found, strict=True):
                if one is not None:
                    said[place][task.name] = one
        likeness = dict(zip(places, self._similarities([queries[at] for at in places], cases), strict=True))
        complete = [
            record.model_copy(update={"judged": said.get(place, {}), "similarity": likeness.get(place)})
            for place, record in enumerate(records)
        ]
        return complete, from_cache

    def _judged(
        self, task: Task, cases: Sequence[Case], done: Callable[[int], None]
    ) -> tuple[list[Judged | None], int]:
        """Return what the judge says of each case, None where none is needed, and how much of it was known."""
        if self.model is None:
            raise ModelError("No judge was made for the measures.", hint="This is a bug of ragkit; please report it.")
        open_cases = [case for case in cases if task.settled(case) is None]
        names = {id(case): self._key(self.model.model, task, case) for case in open_cases}
        known = self.store.get(list(names.values()))
        missing = list({names[id(case)]: case for case in open_cases if names[id(case)] not in known}.items())
        done(len(cases) - len(missing))
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            made = self._batch(self.model, task, [case for _, case in batch])
            for (name, _), one in zip(batch, made, strict=True):
                known[name] = one.model_dump()
                self.store.put(name, known[name])
            self.store.flush()
            done(len(batch))
        found = [Judged.model_validate(known[names[id(case)]]) if id(case) in names else None for case in cases]
        return found, len(open_cases) - len(missing)

    def _batch(self, metered: MeteredModel, task: Task, cases: Sequence[Case]) -> list[Judged]:
        model, meter = metered.model, Budget().meter().stage("judge")
        judgements, seconds, _ = metered.timed(lambda: judge(model, task, cases, meter=meter), len(cases))
        prompts = model.count(["".join(segment.text for segment in task.prompt(case)) for case in cases])
        replies = model.count([one.reply for one in judgements])
        return [
            Judged(
                reply=one.reply,
                failure=one.reason,
                call=Call(prompt_tokens=prompt, reply_tokens=reply, seconds=seconds) if one.asked else None,
            )
            for one, prompt, reply in zip(judgements, prompts, replies, strict=True)
        ]

    def _key(self, model: LanguageModel, task: Task, case: Case) -> str:
        prompt = "".join(segment.text for segment in task.prompt(case))
        return key("judged", model=model.fingerprint, rubric=RUBRIC_VERSION, task=task.name, prompt=prompt)

    def _similarities(self, queries: Sequence[Query], cases: Sequence[Case]) -> list[float | None]:
        """Return the cosine of each answer with the nearest gold answer, 0 for no answer; None where none is needed."""
        if self.embedder is None:
            return [None] * len(cases)
        names = [
            key("similarity", embedder=self.embedder.fingerprint, answer=case.answer, gold=list(query.answers))
            for query, case in zip(queries, cases, strict=True)
        ]
        known = self.store.get(names)
        missing = [at for at, name in enumerate(names) if name not in known]
        texts = list(dict.fromkeys(text for at in missing for text in (cases[at].answer, *queries[at].answers)))
        vectors = dict(zip(texts, self.embedder.embed_queries(texts), strict=True)) if texts else {}
        for at in missing:
            gold = [float(vectors[cases[at].answer] @ vectors[text]) for text in queries[at].answers]
            known[names[at]] = max(gold) if cases[at].answer.strip() else 0.0
            self.store.put(names[at], known[names[at]])
        return [known[name] for name in names]


def case_of(query: Query, hits: SystemHits, record: AnswerRecord, texts: Mapping[str, str]) -> Case:
    """Return what is judged: the answer without markers, the first gold answer, the sources that were shown."""
    shown = tuple(texts[hits.documents[at]][slice(*hits.spans[at])] for at in record.shown)
    return Case(query.question, record.plain, query.answers[0] if query.answers else "", shown)


def tasks_of(measures: Sequence[Measure]) -> tuple[Task, ...]:
    """Return what a judge is asked for the measures."""
    return tuple(TASKS[name] for name in dict.fromkeys(TASK_OF[m.name] for m in measures if m.name in TASK_OF))


def compares_vectors(measures: Sequence[Measure]) -> bool:
    """Return whether one of the measures compares the vectors of answers."""
    return any(map(needs_similarity, measures))


def check_share(system: str, records: Sequence[AnswerRecord], judge_name: str, most: float) -> None:
    """Raise ModelError if the judge's replies on more than the share `most` of a system's answers give no score."""
    for task in dict.fromkeys(name for record in records for name in record.judged):
        said = [record.judged[task] for record in records if task in record.judged]
        failed = [one for one in said if one.failure]
        if len(failed) > most * len(said):
            raise ModelError(
                f"{judge_name} could not judge the {task.replace('_', ' ')} of {len(failed)} of {len(said)} answers of "
                f"{system}, for instance: {failed[0].failure}; at most {most:.0%} may fail.",
                hint="Name a more capable `judge`, or raise `max_unjudged`; replies that are there are kept.",
            )
