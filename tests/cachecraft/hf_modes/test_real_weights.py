"""Repair policies on a trained model: does choosing tokens help more than drawing them?"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ragkit.cachecraft.core.choice import choose, chunk_keys, history, prefix_key
from ragkit.cachecraft.core.keys import variant_name
from ragkit.cachecraft.core.planning import full_plan, make_plan
from ragkit.cachecraft.core.prompt import Kind, Layout, Piece
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.core.statistics import chunk_statistics
from ragkit.cachecraft.core.variant import Variant
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.hf.probe import probe_scores

PASSAGES = (
    ("Anna Voss was born in the harbour town of Lindelund and studied glass painting there.",
     "The river Tarn rises in the Morvan hills and meets the sea at a port that was founded by fishermen.",
     "She later taught at the school of arts in Brevik, whose director was the sculptor Jonas Hale.",
     "Hale's best known work, a bronze horse, stands before the town hall of Brevik since 1931."),
    ("The Kestrel engine was built by Marlow and Sons and first ran in the spring of 1908.",
     "Its designer, Edith Marlow, had worked on looms before she turned to engines.",
     "A museum in Oakham keeps the last engine of that series, which drove a mill until 1954.",
     "The mill made linen for sails and was owned by a cousin of the designer."),
    ("Port Selwyn lies on the island of Ard and has about four thousand inhabitants.",
     "The island's only railway links it with Corran, the seat of the county council.",
     "The council was led for twelve years by Mary Ellis, a former ship's doctor.",
     "Before that she had sailed with the survey ship Petrel to the southern ice."),
)  # fmt: skip
QUESTIONS = (
    "Who was the director of the school at which Anna Voss taught?",
    "In what town is the last engine that Edith Marlow designed?",
    "Who led the council of the county that Port Selwyn belongs to?",
)


def prompt(tokenize, passages, question):
    pieces = [Piece(Kind.PREFIX, tokenize("<|im_start|>user\nAnswer the question from the passages.\n"))]
    pieces += [Piece(Kind.CHUNK, tokenize(passage + "\n")) for passage in passages]
    ask = f"Question: {question}<|im_end|>\n<|im_start|>assistant\n"
    return Layout((*pieces, Piece(Kind.QUESTION, tokenize(ask))))


def stored(backend, layout):
    """Return the variants of all pieces, and their keys and values, as another request leaves them behind."""
    keys = chunk_keys(layout, "space")
    state = backend.run(full_plan(layout), {}, observe=layout.chunks)
    variants, blobs = {}, {}
    for at in keys:
        before, lengths = history(layout, keys, at) if at else ((), ())
        behind = prefix_key(layout, keys) if at else ""
        name = variant_name(keys[at], behind, before, layout.spans[at].start)
        statistics = chunk_statistics(state.masses[at], layout, at) if at else None
        variants[keys[at]] = [
            Variant(
                name,
                keys[at],
                layout.pieces[at].ids,
                behind,
                layout.spans[at].start,
                before,
                lengths,
                statistics=statistics,
            )
        ]
        blobs[name] = backend.capture(state, at)
    return variants, blobs


def divergence(truth, found):
    truth, found = (torch.log_softmax(one.double(), -1) for one in (truth, found))
    return float((truth.exp() * (truth - found)).sum())


@pytest.mark.models
@pytest.mark.slow
def test_the_first_answer_token_at_equal_share(smollm_folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm_folder)
    backend = HfBackend(AutoModelForCausalLM.from_pretrained(smollm_folder, dtype=torch.float32).eval(), "smollm")

    def tokenize(text):
        return np.asarray(tokenizer(text, add_special_tokens=False)["input_ids"], np.int32)

    found: dict[str, list[float]] = {}
    for passages, question in zip(PASSAGES, QUESTIONS, strict=True):
        shuffled = [passages[at] for at in (2, 0, 3, 1)]
        variants, blobs = stored(backend, prompt(tokenize, shuffled, "What is this about?"))
        layout = prompt(tokenize, passages, question)
        keys = chunk_keys(layout, "space")
        repair = Repair(share=0.3, run_length=1)
        chosen, reasons = choose(layout, keys, lambda key, kept=variants: kept.get(key, []), keys[0], repair)
        assert len(chosen) == 5
        nothing = make_plan(layout, chosen, reasons, "none", repair)
        scores = probe_scores(backend, nothing, blobs).values
        jobs = [
            ("none", nothing),
            ("query_probe", make_plan(layout, chosen, reasons, "query_probe", repair, scores=scores)),
        ]
        jobs.append(("cachecraft", make_plan(layout, chosen, reasons, "cachecraft", repair)))
        jobs += [
            ("random", make_plan(layout, chosen, reasons, "random", Repair(share=0.3, run_length=1, seed=seed)))
            for seed in range(2)
        ]
        truth = backend.run(full_plan(layout), {}).logits
        for (name, _), state in zip(jobs, backend.run_many([plan for _, plan in jobs], blobs), strict=True):
            found.setdefault(name, []).append(divergence(truth, state.logits))
    mean = {name: float(np.mean(values)) for name, values in found.items()}
    assert mean["random"] < mean["none"]
    assert mean["query_probe"] < mean["random"], mean
    assert mean["cachecraft"] < mean["random"], mean
