"""Where the files of a stack are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from validation.cli import config
from validation.common import resources
from validation.errors import ConfigurationError


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.delenv(resources.STACKS_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "stacks"
    folder.mkdir()
    return folder


def test_a_target_without_rules_of_its_own_gets_the_kits(own):
    del own
    assert resources.rules_file("mine", None) == resources.find("stacks") / "default.slo.yaml"


def test_rules_beside_a_users_own_stacks_are_used(own):
    (own / "mine.slo.yaml").touch()
    assert resources.rules_file("mine", None) == own / "mine.slo.yaml"


def test_rules_that_a_target_names_come_before_those_of_its_name(own):
    (own / "mine.slo.yaml").touch()
    named = resources.rules_file("mine", Path("local.slo.yaml"))
    assert named == resources.find("stacks") / "local.slo.yaml"
    (own / "other.yaml").touch()
    assert resources.rules_file("mine", own / "other.yaml") == own / "other.yaml"


def test_rules_that_a_target_names_and_that_are_nowhere_are_told_with_every_place(own):
    (own / "mine.slo.yaml").touch()
    with pytest.raises(ConfigurationError, match="the rules that it names are not in") as caught:
        resources.rules_file("mine", Path("absent.slo.yaml"))
    for folder in (own, resources.find("stacks")):
        assert str(folder) in str(caught.value)


def test_a_program_finds_the_stacks_of_its_project(own, monkeypatch):
    (own.parent / "Pulumi.yaml").touch()
    (own.parent / "infra").mkdir()
    monkeypatch.chdir(own.parent / "infra")
    (own / "mine.slo.yaml").touch()
    assert resources.rules_file("mine", None) == own / "mine.slo.yaml"


def test_a_users_own_stack_is_found_before_the_kits_of_the_same_name(own):
    (own / "Pulumi.dev.yaml").touch()
    assert config._chosen("dev", None) == (own / "Pulumi.dev.yaml", "dev")
    assert resources.stack_file("prod") == resources.find("stacks") / "Pulumi.prod.yaml"


def test_a_named_folder_of_stacks_comes_before_the_working_folders(own, tmp_path, monkeypatch):
    (own / "mine.slo.yaml").touch()
    (tmp_path / "mine.slo.yaml").touch()
    monkeypatch.setenv(resources.STACKS_VARIABLE, str(tmp_path))
    assert resources.rules_file("mine", None) == tmp_path / "mine.slo.yaml"


def test_an_unknown_stack_is_named_with_those_that_there_are(own):
    (own / "Pulumi.site.yaml").touch()
    with pytest.raises(ConfigurationError, match=r"use one of dev, dev-cluster, prod, site,"):
        resources.stack_file("absent")
