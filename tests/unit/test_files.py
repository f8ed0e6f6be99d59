"""What is written is seen whole, and a secret by nobody else."""

import os
import stat

import pytest

from validation.common.files import partial_of, replacing, write_secret, write_whole


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_to_all():
    before = os.umask(0)
    yield
    os.umask(before)


def test_an_interrupted_write_leaves_what_was_there(tmp_path):
    path = write_whole(tmp_path / "kept", "old")

    def interrupted():
        with replacing(path) as partial:
            partial.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"


@pytest.mark.usefixtures("open_to_all")
def test_a_file_has_the_usual_permissions_and_nothing_is_left_beside_it(tmp_path):
    path = write_whole(tmp_path / "kept", "é")
    assert path.read_text(encoding="utf-8") == "é"
    assert mode_of(path) == 0o666
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("open_to_all")
@pytest.mark.parametrize("left_over", [False, True])
def test_a_secret_is_nobody_elses_before_a_word_of_it_is_written(tmp_path, monkeypatch, left_over):
    path = tmp_path / "secret"
    write_whole(path, "older, and open to all")
    reader = None
    if left_over:
        partial_of(path).write_text("")
        reader = partial_of(path).open()
    seen = []
    write = type(path).write_text

    def watched(self, *given, **more):
        seen.append((self, mode_of(self)))
        return write(self, *given, **more)

    monkeypatch.setattr(type(path), "write_text", watched)
    write_secret(path, "hidden")
    assert seen == [(partial_of(path), 0o600)]
    assert (mode_of(path), path.read_text()) == (0o600, "hidden")
    if reader is not None:
        with reader:
            assert reader.read() == ""
