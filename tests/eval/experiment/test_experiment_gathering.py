"""Calls of many threads become few; each gets its own results, its own errors and its own costs."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest
from pydantic import BaseModel

from ragkit.budget import Budget, Price
from ragkit.config import PartConfig
from ragkit.errors import ContractError, ModelError, SchemaError, ServerError
from ragkit.eval.experiment.gathering import Gathering
from ragkit.eval.experiment.meeting import Meeting
from ragkit.eval.experiment.metering import MeteredModel, Metering
from ragkit.models.each_record import each_record
from ragkit.protocols import Segment
from ragkit.testing.scripted import ScriptedLanguageModel


class Grade(BaseModel):
    score: int


class Bulk(ScriptedLanguageModel):
    """Notes how many prompts each call had."""

    def __init__(self, **scripts) -> None:
        super().__init__(lambda text: text.upper(), labels=lambda text, _: [len(text) / 100, 0.0], **scripts)
        self.sizes: list[int] = []

    def generate_many(self, prompts, **options):
        self.sizes.append(len(prompts))
        return super().generate_many(prompts, **options)

    def generate_records(self, prompts, schema, **options):
        self.sizes.append(len(prompts))
        return super().generate_records(prompts, schema, **options)

    def label_probabilities(self, prompts, labels, **options):
        self.sizes.append(len(prompts))
        return super().label_probabilities(prompts, labels, **options)


def gathered(model, price=None):
    part = PartConfig(name="scripted", options={} if price is None else {"price": price})
    metered = MeteredModel.of(model, part, Metering())
    meeting = Meeting()
    return meeting, Gathering(meeting, lambda: metered)


def prompt(text):
    return [Segment(text)]


def test_tasks_of_different_length_share_calls_and_keep_their_order():
    model = Bulk()
    meeting, shared = gathered(model)

    def task(number):
        said = f"n{number}"
        for _ in range(number % 4):
            said = shared.generate(prompt(said + "x"), max_tokens=9)
        return said

    found = meeting.run([partial(task, number) for number in range(40)])
    assert found == [f"N{number}" + "X" * (number % 4) if number % 4 else f"n{number}" for number in range(40)]
    assert model.sizes == [30, 20, 10]


def test_more_tasks_than_threads_and_different_kinds():
    model = Bulk(records={"": {"score": 3}})
    meeting, shared = gathered(model)

    def task(number):
        if number % 2:
            return shared.generate_records([prompt("a"), prompt("b")], Grade, max_tokens=9)[1].score
        return shared.label_probabilities([prompt("x" * number)], ["Yes", "No"])[0, 0]

    found = meeting.run([partial(task, number) for number in range(20)], threads=6)
    assert found == [3 if number % 2 else number / 100 for number in range(20)]
    assert sum(model.sizes) == 10 * 2 + 10
    assert max(model.sizes) >= 3


def test_a_meter_is_charged_its_own_calls():
    meeting, shared = gathered(Bulk(), price=Price(1.0, 10.0))
    meters = [Budget().meter() for _ in range(5)]

    def task(number):
        shared.generate_many([prompt("a b")] * number, max_tokens=9, meter=meters[number].stage("judge"))

    meeting.run([partial(task, number) for number in range(5)])
    rows = [meter.report()["stages"].get("judge") for meter in meters]
    assert rows[0] is None
    assert [(row["calls"], row["prompt_tokens"], row["reply_tokens"]) for row in rows[1:]] == [
        (number, 2 * number, 2 * number) for number in range(1, 5)
    ]
    assert rows[4]["dollars"] == pytest.approx(8 * 11 / 1_000_000)


def test_a_reply_that_does_not_fit_fails_its_own_call_alone():
    model = Bulk(records=lambda text: {"score": 1} if "bad" not in text else {"no": 1})
    meeting, shared = gathered(model)

    def task(number):
        try:
            return shared.generate_records([prompt("bad" if number == 3 else "good")], Grade, max_tokens=9)[0].score
        except SchemaError:
            return "broken"

    assert meeting.run([partial(task, number) for number in range(8)]) == [1, 1, 1, "broken", 1, 1, 1, 1]


def test_replies_that_do_not_fit_are_asked_for_once_where_the_model_tells_which():
    class Telling(Bulk):
        def generate_records(self, prompts, schema, **options):
            self.sizes.append(len(prompts))
            bad = [at for at, one in enumerate(prompts) if "bad" in one[0].text]
            if bad:
                raise SchemaError.of({at: SchemaError("no score", reply="one two three") for at in bad})
            return [schema(score=1) for _ in prompts]

    model = Telling()
    meeting, shared = gathered(model)
    meters = [Budget().meter() for _ in range(9)]

    def task(number):
        texts = (
            ["bad", "good"] if number == 7 else ["good", "good"] if number == 8 else ["bad" if number < 3 else "good"]
        )

        def ask(some):
            charged = meters[number].stage("judge")
            return shared.generate_records(some, Grade, max_tokens=9, meter=charged)

        return [
            one.score if isinstance(one, Grade) else 0 for one in each_record(ask, [prompt(text) for text in texts])
        ]

    assert meeting.run([partial(task, number) for number in range(9)]) == [[0]] * 3 + [[1]] * 4 + [[0, 1], [1, 1]]
    assert model.sizes == [11, 6, 1], "all; those of calls that did not fail; the rest of the one that did"
    rows = [meter.report()["stages"]["judge"] for meter in meters]
    assert [(row["calls"], row["reply_tokens"]) for row in rows[:3]] == [(1, 3)] * 3, "what did not fit was written too"
    assert [row["calls"] for row in rows[3:]] == [1, 1, 1, 1, 2, 2]


def test_a_server_that_fails_is_not_asked_in_halves():
    model = Bulk(records=lambda _: ServerError("nobody there"))
    meeting, shared = gathered(model)
    tasks = [partial(shared.generate_records, [prompt("a")], Grade, max_tokens=9)] * 8
    with pytest.raises(ServerError):
        meeting.run(tasks)
    assert len(model.sizes) == 1


def test_the_error_of_a_task_ends_the_run_after_the_others():
    ended = []

    def task(number):
        if number == 2:
            raise ModelError("of the task")
        ended.append(number)

    meeting, _ = gathered(Bulk())
    with pytest.raises(ModelError, match="of the task"):
        meeting.run([partial(task, number) for number in range(6)])
    assert sorted(ended) == [0, 1, 3, 4, 5]
    assert threading.active_count() < 20


def test_outside_of_a_run_a_call_is_made_at_once():
    model = Bulk()
    meeting, shared = gathered(model)
    assert shared.generate(prompt("a"), max_tokens=9) == "A"
    assert (shared.name, shared.window, shared.template_tokens, shared.count(["a b"])) == ("scripted", 8192, 0, [2])
    assert shared.generate_many([], max_tokens=9) == []
    assert meeting.probe(lambda: shared.generate(prompt("a"), max_tokens=9)) is None
    assert meeting.probe(lambda: "no model") == "no model"
    assert model.sizes == [1]


def test_a_model_that_loses_replies_is_an_error_for_all_who_wait():
    class Losing(Bulk):
        def generate_many(self, prompts, **options):
            return super().generate_many(prompts, **options)[:-1]

    meeting, shared = gathered(Losing())
    tasks = [partial(shared.generate, prompt(f"n{number}"), max_tokens=9) for number in range(5)]
    found: list[BaseException] = []

    def running():
        try:
            meeting.run(tasks)
        except ContractError as error:
            found.append(error)

    thread = threading.Thread(target=running, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "threads wait for a call that nobody will make"
    assert "was asked 5 times and gave 4 replies" in str(found[0])


def test_a_server_that_failed_is_raised_even_where_a_task_made_do_without_it():
    model = Bulk(records=lambda _: ServerError("nobody there"))
    meeting, shared = gathered(model)

    def task():
        try:
            return shared.generate_records([prompt("a")], Grade, max_tokens=9)[0].score
        except ModelError:
            return 0

    with pytest.raises(ServerError, match="nobody there"):
        meeting.run([task] * 3)
    assert meeting.run([lambda: 1, lambda: 2]) == [1, 2], "the next run begins anew"


def test_an_interrupt_wakes_the_threads_that_wait(monkeypatch):
    began, free = threading.Event(), threading.Event()
    meeting, shared = gathered(Bulk())
    ended: list[str] = []

    def asking():
        try:
            return shared.generate(prompt("a"), max_tokens=9)
        except ModelError as error:
            ended.append(error.message)
            raise

    def busy():
        began.set()
        free.wait(10)

    def interrupted(self, timeout=None):
        began.wait(10)
        while not meeting._waiting:
            time.sleep(0.001)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "join", interrupted)
        with pytest.raises(KeyboardInterrupt):
            meeting.run([asking, busy])
    while not ended:
        time.sleep(0.001)
    free.set()
    assert ended == ["The run was stopped."]
