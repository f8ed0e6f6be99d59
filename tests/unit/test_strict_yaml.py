from __future__ import annotations

import pytest

from validation.common import strict_yaml
from validation.errors import ConfigurationError


def refusal(path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        strict_yaml.load(path, "rules file", remedy="name another")
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: 1\nb: 2\na: 3\n", "x.yaml:3: not valid YAML: the key 'a' stands here twice"),
        (b'{"a": {"b": 1, "b": 2}}', "x.yaml:1: not valid YAML: the key 'b' stands here twice"),
        (b"a: 1\nb: [", "x.yaml:2: not valid YAML"),
        (b"- a\n", "a rules file is a mapping of keys (seen: 'list')"),
        (b"", "a rules file is a mapping of keys (seen: 'NoneType')"),
        (b"a: \xff\xfe", "the rules file is not UTF-8"),
    ],
)
def test_what_is_no_single_mapping_is_refused_with_its_place(tmp_path, content, said):
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    assert said in refusal(path)


def test_what_cannot_be_read_is_refused_with_what_to_do(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        assert "cannot read the rules file: " in refusal(path)
        assert "-> name another" in refusal(path)


def test_json_is_read_too(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"a": [1, null]}', encoding="utf-8")
    assert strict_yaml.load(path, "target file", remedy="") == {"a": [1, None]}
