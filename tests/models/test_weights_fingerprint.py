"""What identifies weights: a pinned hash without looking for the files, else what the folder holds."""

import pytest

from ragkit.models.known import KNOWN
from ragkit.models.profile import weights_fingerprint


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_known_model_is_not_looked_for(name):
    def folder():
        raise AssertionError("the hash of a known model is pinned")

    assert weights_fingerprint(name, folder) == KNOWN[name].weights_hash


def test_another_model_is_what_its_folder_holds(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"one")
    before = weights_fingerprint("own", lambda: tmp_path)
    assert weights_fingerprint("renamed", lambda: tmp_path) == before
    (tmp_path / "model.safetensors").write_bytes(b"two")
    assert weights_fingerprint("own", lambda: tmp_path) != before
