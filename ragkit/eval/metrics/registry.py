"""All measures by name. A new one is a file with a declaration, and its name here."""

from __future__ import annotations

from ragkit.eval.metrics.answer.abstention import Abstention, FalseRefusal
from ragkit.eval.metrics.answer.attack import AttackSuccess, Contains
from ragkit.eval.metrics.answer.bleu import BLEU
from ragkit.eval.metrics.answer.exact_match import EM
from ragkit.eval.metrics.answer.judged import (
    AnswerSimilarity,
    JudgedContextPrecision,
    JudgedContextRecall,
    JudgedCorrectness,
    JudgedFaithfulness,
    JudgedRelevance,
)
from ragkit.eval.metrics.answer.lexical_faithfulness import LexicalFaithfulness
from ragkit.eval.metrics.answer.meteor import METEOR
from ragkit.eval.metrics.answer.rouge import ROUGE, ROUGE_L
from ragkit.eval.metrics.answer.token_f1 import TokenF1
from ragkit.eval.metrics.measure import Measure
from ragkit.eval.metrics.rank.average_precision import AP
from ragkit.eval.metrics.rank.hit import Hit
from ragkit.eval.metrics.rank.ndcg import DCG, nDCG
from ragkit.eval.metrics.rank.reciprocal_rank import RR
from ragkit.eval.metrics.rank.set_measures import F1, P, R
from ragkit.eval.metrics.segmentation.boundaries import BoundaryF1, BoundaryP, BoundaryR
from ragkit.eval.metrics.segmentation.density import BOR
from ragkit.eval.metrics.segmentation.purity import Coverage, Purity
from ragkit.eval.metrics.segmentation.similarity import BoundarySimilarity
from ragkit.eval.metrics.segmentation.window_f1 import WF1
from ragkit.eval.metrics.segmentation.windows import Pk, WindowDiff
from ragkit.eval.metrics.selection.flagged import CleanFlagged, CleanKept, PoisonFlagged, PoisonKept, PoisonShare
from ragkit.eval.metrics.selection.size import Empty, Tokens, Units
from ragkit.eval.metrics.span.citation import CitationPrecision, CitationRecall
from ragkit.eval.metrics.span.duplication import Duplication
from ragkit.eval.metrics.span.iou import IoU
from ragkit.eval.metrics.span.precision import Precision
from ragkit.eval.metrics.span.precision_omega import PrecisionOmega
from ragkit.eval.metrics.span.recall import Recall
from ragkit.eval.metrics.span.references import FullEvidence, ReferenceHit

SPAN = (Recall, Precision, IoU, PrecisionOmega, Duplication, ReferenceHit, FullEvidence)
CITATION = (CitationPrecision, CitationRecall)
RANK = (Hit, P, R, F1, RR, AP, DCG, nDCG)
SELECTION = (Units, Tokens, Empty)
SCREENING = (PoisonShare, PoisonKept, PoisonFlagged, CleanKept, CleanFlagged)
ANSWER = (
    EM,
    TokenF1,
    ROUGE_L,
    ROUGE,
    BLEU,
    METEOR,
    LexicalFaithfulness,
    Abstention,
    FalseRefusal,
    Contains,
    AttackSuccess,
)
JUDGED = (
    JudgedFaithfulness,
    JudgedRelevance,
    JudgedContextPrecision,
    JudgedContextRecall,
    JudgedCorrectness,
    AnswerSimilarity,
)
SEGMENTATION = (BoundaryP, BoundaryR, BoundaryF1, WF1, BOR, Purity, Coverage, Pk, WindowDiff, BoundarySimilarity)

MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (*SPAN, *CITATION, *RANK, *SELECTION, *SCREENING, *ANSWER, *JUDGED, *SEGMENTATION)
}
