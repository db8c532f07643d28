"""Results on disk, and scoring them again from the hits they hold: no model, no index, no data set is needed."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from ragkit.errors import LoadError, StorageError, UsageError
from ragkit.eval.experiment.chunking import evaluation_tokenizer
from ragkit.eval.experiment.comparing import base_group, base_measure, compared
from ragkit.eval.experiment.depth import Depth
from ragkit.eval.experiment.outcome import ABSENT, absences, query_of, stored, token_spans
from ragkit.eval.experiment.scoring import Judge, left_out
from ragkit.eval.experiment.segmentation_replay import divided, rescored_segmentations
from ragkit.eval.experiment.values import Found, together, values_of
from ragkit.eval.metrics import Measure, parse
from ragkit.eval.metrics.answer.judged import TASK_OF, needs_similarity
from ragkit.eval.metrics.evaluate import checked
from ragkit.eval.results import ExperimentResult, SetResult
from ragkit.eval.statistics.bootstrap import RESAMPLES

NAME = "results.json.gz"


def save(result: ExperimentResult, path: Path) -> None:
    """Write `result` to `path`, whole or not at all; raise StorageError where that fails."""
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(gzip.compress(result.model_dump_json().encode("utf-8"), 3, mtime=0))
        part.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}.", hint="Choose another folder with --out.") from error


def load_result(path: Path) -> ExperimentResult:
    """Return the result in `path` (the file, or the folder that holds it); raise LoadError if there is none."""
    file = path / NAME if path.is_dir() else path
    try:
        return ExperimentResult.model_validate_json(gzip.decompress(file.read_bytes()))
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LoadError(
            f"{file} cannot be read: {reason}.", hint=f"Give a {NAME} that `ragkit eval run` wrote."
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise LoadError(
            f"{file} holds no result of this version: {place or 'content'}: {first['msg']}.",
            hint="Run the experiment again with this ragkit; what is cached is not computed again.",
        ) from None


def rescored(result: ExperimentResult, measures: Sequence[str] = ()) -> ExperimentResult:
    """Return `result` with its hits, answers and segments scored again, by `measures` (its own if none are given).

    Judged measures are scored from the judge's replies. Raises UsageError for a measure that is unknown, that looks
    deeper than the hits that were kept, or that needs answers, judgements or similarities that are not there.
    """
    of_segments, rest = divided(measures)
    wanted = list({str(measure): measure for measure in map(parse, rest or result.measures)}.values())
    if rest and not result.sets:
        raise UsageError(
            f"{rest[0]} cannot be scored on this result: it holds no questions.",
            hint="Name measures of segments, such as WF1 or Pk.",
        )
    depth = Depth.stored(result.experiment.get("stored_depth") or Depth(everything=True).as_dict())
    for measure in wanted:
        if measure.declaration.needs == "hits":
            depth.check(measure)
        _check_kept(measure, result)
    judge = Judge(result.seed, int(result.experiment.get("resamples", RESAMPLES)))
    update = {
        "measures": [str(measure) for measure in wanted],
        "sets": [_rescored_set(part, wanted, judge, result) for part in result.sets],
        "segmentations": rescored_segmentations(result, of_segments, judge),
    }
    return result.model_copy(update=update)


def _check_kept(measure: Measure, result: ExperimentResult) -> None:
    """Raise UsageError for a measure of what the result does not hold: segments, answers, vectors, judgements."""
    if measure.declaration.family == "segmentation":
        checked([measure], "retrieval")
    if measure.declaration.needs in ("hits", "flags"):
        return
    records = [record for part in result.sets for run in part.runs for record in run.answers.values()]
    held = bool(records)
    if needs_similarity(measure):
        held = any(record.similarity is not None for record in records)
    task = TASK_OF.get(measure.name)
    if task is not None:
        # a task for which no answer needed the judge leaves nothing behind, and needs nothing
        held = held and any(task in record.judged for record in records)
    if not held:
        missing = "answers" if not records else "judgements" if task is not None else "similarities"
        raise UsageError(
            f"The results hold no {missing}, which {measure} needs.",
            hint="Add it to the experiment's measures and run again; what is known is not computed again.",
        )


def _rescored_set(part: SetResult, measures: Sequence[Measure], judge: Judge, result: ExperimentResult) -> SetResult:
    queries = [query_of(record) for record in part.queries]
    needs_tokens = any(dict(measure.settings).get("unit") == "tokens" for measure in measures)
    tokens = None
    if needs_tokens:
        tokenizer = evaluation_tokenizer(str(result.experiment.get("tokenizer", "words")))
        tokens = token_spans(part.documents, measures, tokenizer)
    values = {}
    for run in part.runs:
        hits = run.hits.at([query.query_id for query in queries])
        answers = [run.answers[query.query_id] for query in queries] if run.answers else []
        found = Found(hits, run.boundaries, answers, part.documents, frozenset(part.poisoned))
        values[run.system] = values_of(queries, found, measures, tokens)
    made = together(queries, measures, values)
    intervals, comparisons = compared(judge, made, measures, queries, part.baseline or result.baseline)
    counted = base_group(made, measures)
    return part.model_copy(
        update={
            "counted": counted,
            "counted_by": {name: ids for name, ids in made.queries.items() if ids != counted},
            "left_out": left_out(queries, counted, base_measure(made, measures)),
            "unjudged": made.unjudged,
            "runs": [run.model_copy(update={"scores": stored(made.scores[run.system])}) for run in part.runs],
            "intervals": intervals,
            "comparisons": comparisons,
            "notes": [*(note for note in part.notes if ABSENT not in note), *absences(made)],
        }
    )
