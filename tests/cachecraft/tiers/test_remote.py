"""The remote tier against a real server, against its death, and against servers that hang, trickle or lie."""

from __future__ import annotations

import signal
import socket
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from valkey import Valkey

from ragkit.cachecraft.tiers import remote
from ragkit.cachecraft.tiers.breaker import Breaker
from ragkit.cachecraft.tiers.codec import header_of, pack
from ragkit.cachecraft.tiers.memory import MemoryTier
from ragkit.cachecraft.tiers.remote import RemoteTier
from ragkit.cachecraft.tiers.server import Server
from ragkit.cachecraft.tiers.tiered import Tiered
from ragkit.errors import MissingExtraError, UsageError
from tests.cachecraft.tiers.blobs import blob, same
from tests.cachecraft.tiers.servers import free_port, listening, running_server, start_server

SECONDS = 0.3


def tier_at(port: int, **options) -> RemoteTier:
    options = {"capacity": 10**8, "scope": "space", "seconds": 5.0, **options}
    return RemoteTier(f"valkey://127.0.0.1:{port}", **options)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_breaker_rests_longer_each_time_and_probes_once_per_rest():
    clock = Clock()
    breaker = Breaker(10, 35, clock)
    assert breaker.on
    assert not breaker.probe()
    rests = []
    breaker.failed()
    for _ in range(4):
        assert not breaker.on
        start = clock.now
        while not breaker.probe():
            clock.now += 1
        assert not breaker.probe()
        rests.append(clock.now - start)
        breaker.refused()
    assert rests == [10, 20, 35, 35]
    breaker.answered()
    assert breaker.on
    breaker.failed()  # a server that answers probes and fails requests rests longer still
    clock.now += 34
    assert not breaker.probe()
    clock.now += 1
    assert breaker.probe()
    breaker.answered()
    breaker.worked()
    breaker.failed()
    clock.now += 10
    assert breaker.probe()


def test_a_blob_of_several_parts_survives_this_process_and_damage_is_a_miss():
    with running_server() as (port, _):
        tier = tier_at(port, part_bytes=100_000)
        big = blob(1_234_567)
        assert tier.put({"big": big, "small": blob(5)}) == {"big", "small"}
        tier.close()
        tier = tier_at(port, part_bytes=50_000)  # the reader need not know the size of the parts
        assert same(tier.get(["big"])[0], big)
        client = Valkey(port=port)
        part = bytearray(client.get("ragkit:kv:{space}:big:3"))
        part[77] ^= 4
        client.set("ragkit:kv:{space}:big:3", bytes(part))
        assert tier.get(["big", "small"])[0] is None
        assert tier.failures == {"checksum": 1}
        assert tier.may_have(["big", "small"]) == [False, True]
        assert len(client.keys("*:big:*")) == 14, "whoever only reads removes nothing"
        for damage in ("missing part", "longer part", "head of another", "head of another model", "noise"):
            tier.put({"big": big})
            match damage:
                case "missing part":
                    client.delete("ragkit:kv:{space}:big:3")
                case "longer part":
                    client.append("ragkit:kv:{space}:big:24", b"more")
                case "head of another":
                    client.set("ragkit:kv:{space}:big:head", client.get("ragkit:kv:{space}:small:head"))
                case "head of another model":
                    client.set("ragkit:kv:{space}:big:head", pack(header_of("model", "big", big)))
                case _:
                    client.set("ragkit:kv:{space}:big:head", b"noise")
            assert tier.get(["big"]) == [None], damage
        tier.close()


def test_models_and_prefixes_do_not_see_each_other():
    with running_server() as (port, _):
        one, other = tier_at(port), tier_at(port, scope="another model")
        one.put({"a": blob(100)})
        assert other.get(["a"]) == [None]
        assert other.names() == []
        one.close()
        other.close()


def test_a_full_share_keeps_nothing_more_and_expired_blobs_make_room():
    with running_server() as (port, _):
        tier = tier_at(port, capacity=1000, ttl_seconds=1)
        assert tier.put({"a": blob(600), "b": blob(600)}) == {"a"}
        assert tier.failures == {"full": 1}
        time.sleep(1.1)
        assert tier.put({"b": blob(600)}) == {"b"}
        assert tier.names() == ["b"]
        tier.close()


def test_a_server_without_memory_refuses_and_nothing_stays_behind():
    with running_server("--maxmemory", "8mb", "--maxmemory-policy", "noeviction") as (port, _):
        tier = tier_at(port, part_bytes=1 << 20)
        assert tier.put({"a": blob(20 << 20), "b": blob(1000)}) == {"b"}
        assert tier.failures == {"refused": 1}
        assert len(Valkey(port=port).keys("*")) == 3
        tier.close()


def test_a_wrong_password_is_refused_and_counted():
    with running_server("--requirepass", "secret") as (port, _):
        tier = tier_at(port)
        assert tier.put({"a": blob(10)}) == set()
        assert tier.get(["a"]) == [None]
        assert set(tier.failures) <= {"refused", "connection"}
        tier.close()


def test_a_killed_server_is_a_miss_and_a_new_one_is_found_again():
    clock = Clock()
    with running_server() as (port, process):
        tier = tier_at(port, breaker=Breaker(10, clock=clock))
        tier.put({"a": blob(1000)})
        process.kill()
        process.wait()
        assert tier.get(["a"]) == [None]
        assert tier.failures["connection"] == 1
        started = time.perf_counter()
        for _ in range(100):
            assert tier.get(["a"]) == [None]
            assert tier.put({"b": blob(10)}) == set()
        assert time.perf_counter() - started < SECONDS
        assert tier.failures["connection"] == 1
        again = start_server(port)
        try:
            clock.now = 11
            tier.get(["a"])  # starts the probe
            until = time.monotonic() + 5
            while not tier.put({"b": blob(10)}) and time.monotonic() < until:
                time.sleep(0.01)
            assert same(tier.get(["b"])[0], blob(10))
        finally:
            again.kill()
            again.wait()
        tier.close()


def swallow(connection: socket.socket) -> None:
    while connection.recv(1 << 16):
        pass


def trickle(connection: socket.socket) -> None:
    """Promise a large value and send a byte at a time: each read is in time, the whole never."""
    connection.recv(1 << 16)
    connection.sendall(b"$100000\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


def stop_half_way(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    connection.sendall(b"$4096\r\n" + b"x" * 100)


def babble(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def giant(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    connection.sendall(b"$-7\r\n*99999999999\r\n")
    connection.recv(1 << 16)


@pytest.mark.parametrize("serve", [swallow, trickle, stop_half_way, babble, giant, lambda _: None])
def test_a_server_that_misbehaves_costs_one_time_out_and_no_error(serve):
    with listening(serve) as port:
        tier = tier_at(port, seconds=SECONDS)
        started = time.perf_counter()
        assert tier.get([f"n{number}" for number in range(20)]) == [None] * 20
        first = time.perf_counter() - started
        assert first < SECONDS + 0.5
        started = time.perf_counter()
        for _ in range(50):
            assert tier.get(["a", "b"]) == [None, None]
            assert tier.put({"c": blob(100)}) == set()
            assert tier.exists(["a"]) == [False]
            assert tier.names() == []
            tier.delete(["a"])
        assert time.perf_counter() - started < 2 * SECONDS + 1.0
        assert tier.failures
        started = time.perf_counter()
        tier.close()
        assert time.perf_counter() - started < SECONDS + 1.0


def test_a_hanging_server_never_slows_what_memory_has():
    with listening(swallow) as port:
        tiers = Tiered(MemoryTier(10**6), [tier_at(port, seconds=SECONDS)])
        started = time.perf_counter()
        tiers.put({"a": blob(1000)})
        assert same(tiers.get(["a"])[0], blob(1000))
        assert time.perf_counter() - started < SECONDS / 2
        tiers.close(0)


def test_nobody_there_is_a_miss():
    tier = tier_at(free_port())
    assert tier.get(["a"]) == [None]
    assert tier.failures == {"connection": 1}
    tier.close()


def test_a_server_that_stops_while_it_sends(tmp_path: Path):
    """A real server, stopped by a signal between the header and the last part."""
    with running_server() as (port, process):
        tier = tier_at(port, part_bytes=200_000, seconds=1.0)
        assert tier.put({"a": blob(1_000_000), "b": blob(10)}) == {"a", "b"}
        assert same(tier.get(["b"])[0], blob(10))
        process.send_signal(signal.SIGSTOP)
        try:
            started = time.perf_counter()
            assert tier.get(["a", "b"]) == [None, None]
            assert tier.get(["a", "b"]) == [None, None]
            assert time.perf_counter() - started < 1.0 + 0.5
            assert tier.failures["time-out"] == 2
        finally:
            process.send_signal(signal.SIGCONT)
        tier.close()


def test_wrong_arguments_say_what_is_expected(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match="at most 512,000,000"):
        tier_at(1, part_bytes=600_000_000)
    with pytest.raises(UsageError, match="valkey://HOST") as caught:
        RemoteTier("http://user:secret@host", 10)
    assert "secret" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "valkey", None)
    with pytest.raises(MissingExtraError, match="remote-cache"):
        tier_at(1)


def test_every_array_that_comes_back_is_its_own():
    with running_server() as (port, _):
        tier = tier_at(port)
        tier.put({"a": blob(1000)})
        one, other = tier.get(["a", "a"])
        assert one is not None
        assert other is not None
        assert not np.shares_memory(one, other)
        tier.close()


def slow(monkeypatch: pytest.MonkeyPatch, method: str, seconds: float) -> None:
    """Let one command of the server take so long more."""
    real = getattr(Server, method)

    def late(self: Server, *given: object, **named: object) -> object:
        time.sleep(seconds)
        return real(self, *given, **named)

    monkeypatch.setattr(Server, method, late)


@pytest.mark.parametrize(("rate", "comes"), [(2e6, True), (2e9, False)])
def test_a_large_blob_has_the_time_that_its_bytes_take(monkeypatch: pytest.MonkeyPatch, rate: float, comes: bool):
    with running_server() as (port, _):
        writer = tier_at(port, part_bytes=200_000)
        assert writer.put({"a": blob(2_000_000), "b": blob(2_000_000, 1)}) == {"a", "b"}
        writer.close()
        slow(monkeypatch, "get", 0.05)
        tier = tier_at(port, seconds=SECONDS, rate=rate)
        found = tier.get(["a", "absent", "b"])
        assert [one is not None for one in found] == [comes, False, comes]
        assert tier.may_have(["a", "absent", "b"]) == [True, False, True], "late is not gone"
        assert bool(tier.failures) != comes
        tier.close()


def test_a_large_blob_is_put_in_the_time_that_its_bytes_take(monkeypatch: pytest.MonkeyPatch):
    with running_server() as (port, _):
        slow(monkeypatch, "set", 0.05)
        tier = tier_at(port, seconds=SECONDS, rate=2e6, part_bytes=200_000)
        assert tier.put({"a": blob(2_000_000)}) == {"a"}
        tier.close()
        tier = tier_at(port, seconds=SECONDS, rate=2e9, part_bytes=200_000)
        assert tier.put({"b": blob(2_000_000)}) == set()
        assert tier.may_have(["b"]) == [False], "what was not confirmed is not there"
        tier.close()


def test_what_is_deleted_is_removed_before_the_connections_close(monkeypatch: pytest.MonkeyPatch):
    with running_server() as (port, _):
        tier = tier_at(port)
        names = [f"n{number}" for number in range(400)]
        assert len(tier.put({name: blob(10) for name in names})) == 400
        slow(monkeypatch, "remove", 0.01)
        monkeypatch.setattr(remote, "_AT_ONCE", 10)
        for name in names[1:]:
            tier.delete([name])
        tier.close()
        assert len(Valkey(port=port).keys("*")) == 3


def test_what_cannot_be_removed_is_counted_and_removed_when_the_server_is_back():
    clock = Clock()
    breaker = Breaker(10, clock=clock)
    with running_server() as (port, _):
        tier = tier_at(port, breaker=breaker)
        tier.put({"a": blob(10), "b": blob(10), "c": blob(10)})
        breaker.failed()
        tier.delete(["a"])
        breaker.answered()
        tier.delete(["b"])
        until = time.monotonic() + 5
        while tier.names() != ["c"] and time.monotonic() < until:
            time.sleep(0.01)
        assert tier.names() == ["c"]
        breaker.failed()
        tier.delete(["c"])
        tier.close()
        assert tier.failures["left behind"] == 1


def test_what_is_put_again_is_not_removed_by_an_earlier_deletion():
    breaker = Breaker(1000)
    with running_server() as (port, _):
        tier = tier_at(port, breaker=breaker)
        assert tier.put({"a": blob(10), "b": blob(10)}) == {"a", "b"}
        breaker.failed()
        tier.delete(["a"])
        breaker.answered()
        assert tier.put({"a": blob(10, 1)}) == {"a"}
        tier.delete(["b"])
        tier.close()
        again = tier_at(port)
        assert again.names() == ["a"]
        assert same(again.get(["a"])[0], blob(10, 1))
        again.close()


def test_clearing_removes_all_of_one_scope_whoever_put_it(monkeypatch: pytest.MonkeyPatch):
    with running_server() as (port, process):
        tier, other, odd = tier_at(port, seconds=SECONDS), tier_at(port, scope="space2"), tier_at(port, scope="[s]*")
        other.put({"a": blob(10)})
        odd.put({"a": blob(10)})
        tier_at(port).put({f"n{number}": blob(10) for number in range(1200)})
        client = Valkey(port=port)
        client.set("ragkit:kv:{space}:never whole:0", b"part")
        slow(monkeypatch, "sweep", 0.01)
        assert tier.clear()
        assert not client.keys("ragkit:kv:{space}*")
        assert other.names() == odd.names() == ["a"]
        assert odd.clear()
        assert client.dbsize() == 3, "those of the other space"
        process.send_signal(signal.SIGSTOP)
        assert not tier.clear()
        process.send_signal(signal.SIGCONT)
        for one in (tier, other, odd):
            one.close()


def test_it_knows_its_bytes_once_it_has_listed_its_blobs():
    with running_server() as (port, _):
        tier = tier_at(port)
        tier.put({"a": blob(700), "b": blob(600)})
        again = tier_at(port)
        assert (len(again.names()), again.used) == (2, 1300)
        tier.close()
        again.close()
