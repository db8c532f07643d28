"""The fixed probe set of the quality gate: short texts, a question about each, and orders in which they are shown.

Texts and questions are ragkit's own, written for this; they are no evaluation data. Raise `VERSION` with every change
of it, or of the tokens that its prompts become.
"""

from __future__ import annotations

from collections.abc import Sequence

from ragkit.protocols import Segment

VERSION = 2

TEXTS = (
    "The lighthouse of Varn was built in 1874 by the engineer Ada Holm. Its lamp burned whale oil until 1902, when the "
    "keeper's son, Per Lund, fitted an electric arc. The tower is 41 metres high and painted with two red bands. Ships "
    "can see its light from 19 nautical miles away on a clear night.",
    "Copper sulphate grows large blue crystals when a hot, saturated solution cools slowly. Hang a seed crystal on a "
    "nylon thread in the jar and leave it for nine days. Dust starts unwanted crystals, so cover the jar with filter "
    "paper. The finished crystal loses its water and turns white if it is heated above 110 degrees.",
    "The Tessel railway runs from Brom to the harbour of Oke, 63 kilometres in all. Freight trains carry salt and "
    "grain; a passenger train leaves Brom at 7:40 every morning. The longest tunnel, the Garrow, is 2.1 kilometres "
    "long and was dug from both ends at once. The two halves met with an error of eleven centimetres.",
    "Honeybees tell each other where food is by dancing. In the waggle dance the angle to the vertical is the angle to "
    "the sun, and the length of the run tells the distance: about one second for each kilometre. A round dance means "
    "that the flowers are nearer than fifty metres. Other bees follow the dancer with their antennae.",
    "The town council of Milford voted on 3 May to close the old swimming bath. Repairs would have cost 4.2 million "
    "crowns. A new bath with a pool of 25 metres is to open beside the school in two years. Councillor Ines Falk, who "
    "led the protest, asked that the mosaic of the entrance hall be moved to the new building.",
    "To reset the K-20 pump, switch off the mains and wait thirty seconds. Hold the green button while switching the "
    "mains on again; the display shows E0. Then open the drain valve for one minute, so that trapped air can leave. If "
    "the display shows E7 afterwards, the float switch is stuck and must be cleaned with vinegar.",
    "The poet Liora Venn was born in Salt Hill in 1911 and worked as a typesetter until she was forty. Her first book, "
    "The Paper Orchard, sold ninety copies. It was translated into Danish by her neighbour Knud Aage in 1956, and only "
    "then became known. She kept bees, and never learned to drive.",
    "Sourdough bread needs flour, water, salt and time. A ripe starter doubles within five hours at 26 degrees. Mix a "
    "hundred grams of it with half a kilo of flour and 350 grams of water, and add ten grams of salt after a rest of "
    "forty minutes. Bake for twenty minutes with the lid on and for twenty-five without it, at 240 degrees.",
)

QUESTIONS = (
    "Who built the lighthouse of Varn?",
    "For how long must the seed crystal be left in the jar?",
    "What is the longest tunnel of the Tessel railway called?",
    "What does a round dance mean?",
    "What did Ines Falk ask for?",
    "What does E7 on the display of the pump mean?",
    "Who translated The Paper Orchard into Danish?",
    "How much salt goes into the bread?",
)

WARM = ((0, 1, 2, 3), (4, 5, 6, 7))
"""Prompts that fill the cache; what the texts are cached behind is here."""

_TAIL = "Answer briefly, using only the text above.\n\nQuestion: "


def order(question: int) -> tuple[int, ...]:
    """Return the texts that a question is asked over: its own third, the others with new neighbours.

    >>> order(0)
    (5, 2, 0, 7)
    """
    texts = len(TEXTS)
    return (question + 5) % texts, (question + 2) % texts, question, (question + 7) % texts


def prompt(texts: Sequence[int], question: int) -> list[Segment]:
    """Return a question over some of the texts, written as `ragkit.answering` writes prompts."""
    segments = []
    for number, text in enumerate(texts, 1):
        segments += [Segment(f"[{number}] "), Segment(TEXTS[text], f"probe {text}"), Segment("\n\n")]
    return [*segments, Segment(_TAIL + QUESTIONS[question])]
