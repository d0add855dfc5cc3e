"""Mistakes in pipeline.toml: each message names file, line, key, what was needed, what came and the cure."""

import re

import pytest

from oneglance import InvalidInput, run_pipeline
from oneglance.pipeline.config import read_config

BASE = '# a comment\n[pool]\nsource = "photos"\n[select]\nbudget = 10\n'


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("[selekt]\n", "line 6: there is no section [selekt]. Did you mean 'select'?"),
        ("[model]\n", "line 6: there is no section [model]. Known are pipeline, pool,"),
        ("bugdet = 4\n", "line 6, [select]: there is no key 'bugdet'. Did you mean 'budget'?"),
        ('\n[audit]\n"hammin" = 4\n', "line 8, [audit]: there is no key 'hammin'. Did you mean 'hamming'?"),
        ("[audit]\nrecipe = 4\n", "[audit]: there is no key 'recipe'. [adapt] has one of that name."),
        ('strategy = "levis"\n', "line 6, [select] strategy must be one of auto, lewis,"),
        ('[adapt]\nrecipe = "wize_ft"\n', "line 7, [adapt]: recipe 'wize_ft' is unknown. Did you mean 'wise_ft'?"),
        ('[adapt]\nrecipe = ["lora", "auto"]\n', "line 7, [adapt]: recipe 'auto' stands alone."),
        ('strategy = "levis"\n', "got 'levis'. Did you mean 'lewis'?"),
        ("[evaluate]\nrepeats = 2\n", "line 7, [evaluate] repeats must be at least 3, got 2."),
        ("[evaluate]\nrepeats = true\n", "[evaluate] repeats must be a whole number, got True."),
        ("[evaluate]\nrepeats = 3.5\n", "must be a whole number, got 3.5."),
        ("[evaluate]\ncurve = [0.5, 2]\n", "curve must be a list of numbers above 0, up to 1, got [0.5, 2]."),
        ("[evaluate]\ncurve = []\n", "[evaluate] curve is empty"),
        ("[embed]\nmax_bad_fraction = nan\n", "must be a number between 0 and 1, got nan."),
        ("[embed]\npatterns = 1\n", "[embed] patterns must be true or false, got 1."),
        ("[gates]\nmajority = \"no\"\n", 'majority must be a number, or "off", got \'no\'.'),
        ("[pool.source]\nx = 1\n", "is not TOML"),
        ("params = { width = 1 }\n", "line 6, [select.params]: strategy 'auto' has no 'width'. It takes none."),
        ("strategy = \"kernel\"\n[select.params]\nwidht = 1\n", "'kernel' has no 'widht'. Did you mean 'width'?"),
    ],
)  # fmt: skip
def test_settings(tmp_path, more, words):
    path = tmp_path / "pipeline.toml"
    path.write_text(BASE + more, encoding="utf-8")
    with pytest.raises(InvalidInput, match=re.escape(words)) as error:
        read_config(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", '[pool] needs the key source: folder of pictures, list file, ready vectors, or a store. Example: '),
        ('[pool]\nsource = "x"\n', "[select] needs the key budget"),
        ('[pool]\nsource = ""\n', "line 2, [pool] source must be a path, or a list of paths, got ''."),
        ('[pool]\nsource = "x"\n[select]\nbudget = 0.02\n', "[select] budget must be a count like 500, or a"),
        ("pool = 3\n", "line 1: pool must be a section, [pool]."),
        ("[pool\n", "is not TOML: Expected ']'"),
    ],
)  # fmt: skip
def test_what_is_needed(tmp_path, text, words):
    path = tmp_path / "pipeline.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=re.escape(words)):
        read_config(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InvalidInput, match=r"cannot be read .*oneglance run .*none.toml --init"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match=r"binary.toml is not UTF-8 text"):
        read_config(tmp_path / "binary.toml")


def test_arguments(tmp_path):
    path = tmp_path / "pipeline.toml"
    path.write_text(BASE, encoding="utf-8")
    with pytest.raises(InvalidInput, match="until must be one of the steps audit, pretrain, embed, .* got 'train'"):
        run_pipeline(path, until="train")
    with pytest.raises(InvalidInput, match="rerun must be one of the steps"):
        run_pipeline(path, rerun="Embed")
    with pytest.raises(InvalidInput, match="force: there is no gate 'quality', only unusable, .*labels"):
        run_pipeline(path, force=["quality"])
    with pytest.raises(InvalidInput, match=r"source: .*photos does not exist"):
        run_pipeline(path)
    (tmp_path / "pipeline.run2").write_text("", encoding="utf-8")
    path.write_text('[pipeline]\nout = "pipeline.run2"\n' + BASE, encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"\[pipeline\] out: .*pipeline.run2 is a file"):
        run_pipeline(path)
