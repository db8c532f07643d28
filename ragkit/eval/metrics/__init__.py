"""Measures as values, and what computes them over many queries at once. Definitions: docs/metrics.md.

from ragkit.eval.metrics import IoU, Recall, evaluate, tokens

scores = evaluate([Recall@5, IoU@tokens(400), "nDCG@10"], queries, runs, chunks=chunks)
scores["Recall@5"]  # one value for each query that counts
"""

from ragkit.eval.metrics.answer.abstention import (
    Abstention,
    AbstentionRates,
    FalseRefusal,
    abstention,
    is_refusal,
)
from ragkit.eval.metrics.answer.attack import AttackSuccess, Contains, poisoned_documents, targets
from ragkit.eval.metrics.answer.bleu import BLEU, bleu, corpus_bleu
from ragkit.eval.metrics.answer.choice import ChoiceAccuracy, choice_accuracy, chosen
from ragkit.eval.metrics.answer.context_precision import context_precision
from ragkit.eval.metrics.answer.evaluate import evaluate_answers
from ragkit.eval.metrics.answer.exact_match import EM, exact_match
from ragkit.eval.metrics.answer.judge import (
    JudgedScores,
    Judgement,
    gathered,
    judge,
    judge_faithfulness,
    judge_relevance,
)
from ragkit.eval.metrics.answer.judged import (
    AnswerSimilarity,
    Judged,
    JudgedContextPrecision,
    JudgedContextRecall,
    JudgedCorrectness,
    JudgedFaithfulness,
    JudgedRelevance,
)
from ragkit.eval.metrics.answer.lexical_faithfulness import Faithfulness, LexicalFaithfulness, lexical_faithfulness
from ragkit.eval.metrics.answer.meteor import METEOR, meteor_exact
from ragkit.eval.metrics.answer.rouge import ROUGE, ROUGE_L, rouge_l, rouge_n
from ragkit.eval.metrics.answer.rubric import RUBRIC_VERSION
from ragkit.eval.metrics.answer.token_f1 import TokenF1, token_f1
from ragkit.eval.metrics.cost import (
    Call,
    Cost,
    Latency,
    Price,
    cache_hit_share,
    compression_ratio,
    cost_efficiency,
    dollars_per_query,
    kept_share,
    nearest_rank,
    relative_efficiency,
    total_cost,
)
from ragkit.eval.metrics.cutoff import Cutoff, adaptive, chars, tokens
from ragkit.eval.metrics.evaluate import Scores, evaluate
from ragkit.eval.metrics.measure import Declaration, Measure, Option, declare
from ragkit.eval.metrics.metadata import consistency, majority_share
from ragkit.eval.metrics.parsing import parse
from ragkit.eval.metrics.rank.average_precision import AP
from ragkit.eval.metrics.rank.hit import Hit
from ragkit.eval.metrics.rank.ndcg import DCG, nDCG
from ragkit.eval.metrics.rank.order import by_score
from ragkit.eval.metrics.rank.percentile_recall import top_percentile_recall
from ragkit.eval.metrics.rank.reciprocal_rank import RR
from ragkit.eval.metrics.rank.set_measures import F1, P, R
from ragkit.eval.metrics.registry import MEASURES
from ragkit.eval.metrics.segmentation.baseline import at_random, equally_spaced
from ragkit.eval.metrics.segmentation.boundaries import BoundaryF1, BoundaryP, BoundaryR, boundary_positions
from ragkit.eval.metrics.segmentation.density import BOR
from ragkit.eval.metrics.segmentation.evaluate import evaluate_segments
from ragkit.eval.metrics.segmentation.purity import Coverage, Purity
from ragkit.eval.metrics.segmentation.similarity import BoundarySimilarity
from ragkit.eval.metrics.segmentation.window_f1 import WF1
from ragkit.eval.metrics.segmentation.windows import Pk, WindowDiff
from ragkit.eval.metrics.selection.baseline import same_mean_count, same_tokens
from ragkit.eval.metrics.selection.flagged import (
    CleanFlagged,
    CleanKept,
    PoisonFlagged,
    PoisonKept,
    PoisonShare,
    Screened,
)
from ragkit.eval.metrics.selection.poison import PoisonCounts, poison_counts
from ragkit.eval.metrics.selection.size import Empty, Tokens, Units
from ragkit.eval.metrics.selection.verified import flag_counts
from ragkit.eval.metrics.span.citation import CitationPrecision, CitationRecall
from ragkit.eval.metrics.span.duplication import Duplication
from ragkit.eval.metrics.span.iou import IoU
from ragkit.eval.metrics.span.precision import Precision
from ragkit.eval.metrics.span.precision_omega import PrecisionOmega
from ragkit.eval.metrics.span.recall import Recall
from ragkit.eval.metrics.span.references import FullEvidence, ReferenceHit

__all__ = [
    "AP",
    "BLEU",
    "BOR",
    "DCG",
    "EM",
    "F1",
    "MEASURES",
    "METEOR",
    "ROUGE",
    "ROUGE_L",
    "RR",
    "RUBRIC_VERSION",
    "WF1",
    "Abstention",
    "AbstentionRates",
    "AnswerSimilarity",
    "AttackSuccess",
    "BoundaryF1",
    "BoundaryP",
    "BoundaryR",
    "BoundarySimilarity",
    "Call",
    "ChoiceAccuracy",
    "CitationPrecision",
    "CitationRecall",
    "CleanFlagged",
    "CleanKept",
    "Contains",
    "Cost",
    "Coverage",
    "Cutoff",
    "Declaration",
    "Duplication",
    "Empty",
    "Faithfulness",
    "FalseRefusal",
    "FullEvidence",
    "Hit",
    "IoU",
    "Judged",
    "JudgedContextPrecision",
    "JudgedContextRecall",
    "JudgedCorrectness",
    "JudgedFaithfulness",
    "JudgedRelevance",
    "JudgedScores",
    "Judgement",
    "Latency",
    "LexicalFaithfulness",
    "Measure",
    "Option",
    "P",
    "Pk",
    "PoisonCounts",
    "PoisonFlagged",
    "PoisonKept",
    "PoisonShare",
    "Precision",
    "PrecisionOmega",
    "Price",
    "Purity",
    "R",
    "Recall",
    "ReferenceHit",
    "Scores",
    "Screened",
    "TokenF1",
    "Tokens",
    "Units",
    "WindowDiff",
    "abstention",
    "adaptive",
    "at_random",
    "bleu",
    "boundary_positions",
    "by_score",
    "cache_hit_share",
    "chars",
    "choice_accuracy",
    "chosen",
    "compression_ratio",
    "consistency",
    "context_precision",
    "corpus_bleu",
    "cost_efficiency",
    "declare",
    "dollars_per_query",
    "equally_spaced",
    "evaluate",
    "evaluate_answers",
    "evaluate_segments",
    "exact_match",
    "flag_counts",
    "gathered",
    "is_refusal",
    "judge",
    "judge_faithfulness",
    "judge_relevance",
    "kept_share",
    "lexical_faithfulness",
    "majority_share",
    "meteor_exact",
    "nDCG",
    "nearest_rank",
    "parse",
    "poison_counts",
    "poisoned_documents",
    "relative_efficiency",
    "rouge_l",
    "rouge_n",
    "same_mean_count",
    "same_tokens",
    "targets",
    "token_f1",
    "tokens",
    "top_percentile_recall",
    "total_cost",
]
