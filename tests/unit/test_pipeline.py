"""The parts of a pipeline by themselves: settings, hashes, answers, ledger, gates, report."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from oneglance.errors import InvalidInput, StoreError
from oneglance.features.specs import parse_spec
from oneglance.pipeline.book import Book, missing
from oneglance.pipeline.cells import Cells
from oneglance.pipeline.config import read_config, toml_text
from oneglance.pipeline.figures import curve_svg, sensitivity_svg
from oneglance.pipeline.gates import at_least, at_most
from oneglance.pipeline.hashing import Hashes, anchored, backbone_mark, key_of
from oneglance.pipeline.ledger import Cost, Ledger, Meter, money
from oneglance.pipeline.page import Section, Table, as_html, as_markdown
from oneglance.pipeline.record import Outcome, begin, damaged, finished, read_begun, read_record, write_record
from oneglance.pipeline.report import interval
from oneglance.pipeline.schema import KEYS, METHODS, PRETRAIN_METHODS, SECTIONS
from oneglance.pipeline.template import template, write_template
from oneglance.pipeline.trial import mean_dict, share_dict, sizes_of

LEAST = '[pool]\nsource = "photos"\n[select]\nbudget = 10\n'


def config(tmp_path, text):
    path = tmp_path / "pipeline.toml"
    path.write_text(text, encoding="utf-8")
    return read_config(path)


# --- settings


def test_defaults_and_folder(tmp_path):
    found = config(tmp_path, LEAST)
    assert found.folder == tmp_path / "pipeline.run"
    assert found["select"]["strategy"] == "auto"
    assert found["labels"]["file"] is None
    assert found.source("pool") == str(tmp_path / "photos")
    assert found.source("test") is None
    assert found.seed == 0


def test_template_is_valid_and_shows_every_key(tmp_path):
    path = tmp_path / "new.toml"
    write_template(path)
    found = read_config(path)
    assert found["pool"]["source"] == "photos/"
    text = path.read_text(encoding="utf-8")
    for section, keys in KEYS.items():
        part = text.partition(f"[{section}]")[2].partition("\n[")[0]
        for name in keys:
            assert re.search(rf"^(# )?{name} = ", part, re.M), (section, name)
    assert set(SECTIONS) == set(KEYS)
    with pytest.raises(InvalidInput, match="is there already"):
        write_template(path)


def test_every_commented_line_of_the_template_is_a_valid_setting(tmp_path):
    text = re.sub(r"^# (\w+ = )", r"\1", template(), flags=re.M)
    found = config(tmp_path, text)
    assert found.sections == set(KEYS)
    assert found["evaluate"]["curve"] == (0.1, 0.25, 0.5, 0.75, 1)


def test_defaults_pass_their_own_checks(tmp_path):
    lines = ['[pool]\nsource = "x"', "[select]\nbudget = 1"]
    for section, keys in KEYS.items():
        there = {name: key.default for name, key in keys.items() if key.default not in (None, (), {})}
        shown = [f"{name} = {toml_text(value)}" for name, value in there.items()]
        place = next((i for i, text in enumerate(lines) if text.startswith(f"[{section}]")), None)
        if place is None:
            lines.append("\n".join([f"[{section}]", *shown]))
        else:
            lines[place] = "\n".join([lines[place], *shown])
    assert config(tmp_path, "\n".join(lines))["gates"]["unusable"] == 0.1


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    path = tmp_path / "pipeline.toml"
    path.write_bytes(b"\xef\xbb\xbf" + LEAST.encode())
    assert read_config(path)["select"]["budget"] == 10


def test_a_gate_can_be_switched_off_and_nothing_else(tmp_path):
    assert config(tmp_path, LEAST + '[gates]\nmajority = "off"\n')["gates"]["majority"] is None
    with pytest.raises(InvalidInput, match=r"\[labels\] least must be a number between 0 and 1, got 'off'"):
        config(tmp_path, LEAST + '[labels]\nleast = "off"\n')


def test_methods_have_their_files():
    pytest.importorskip("torch")
    from oneglance.pipeline.methods import method_of
    from oneglance.pretraining import METHODS as PRETRAINING

    for name in METHODS:
        assert callable(method_of(name))
    assert set(PRETRAIN_METHODS) == set(PRETRAINING)


def test_reading_settings_loads_no_torch():
    code = "import sys, oneglance.pipeline; print([name for name in ('torch', 'sklearn') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# --- hashes


def test_a_file_is_read_again_only_when_it_changed(tmp_path, monkeypatch):
    import oneglance.pipeline.hashing as home

    file = tmp_path / "a.bin"
    file.write_bytes(b"one")
    os.utime(file, (1_000_000_000, 1_000_000_000))
    hashes = Hashes(tmp_path / "hashes.json")
    first = hashes.of(file)
    hashes.save()
    again = Hashes(tmp_path / "hashes.json")
    monkeypatch.setattr(home, "file_digest", lambda path: pytest.fail("read again"))
    assert again.of(file) == first
    monkeypatch.undo()
    file.write_bytes(b"two")  # the same size, another time
    assert again.of(file) != first
    assert again.changed == [str(file)]


def test_an_edit_within_the_clocks_tick_is_seen(tmp_path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"one")
    stamp = time.time_ns()
    os.utime(file, ns=(stamp, stamp))
    hashes = Hashes(tmp_path / "hashes.json")
    first = hashes.of(file)
    file.write_bytes(b"two")
    os.utime(file, ns=(stamp, stamp))  # same size, same time of change
    assert hashes.of(file) != first


def test_damaged_memory_of_hashes_costs_a_reading_and_nothing_else(tmp_path):
    (tmp_path / "hashes.json").write_text("{half", encoding="utf-8")
    file = tmp_path / "a.bin"
    file.write_bytes(b"one")
    assert Hashes(tmp_path / "hashes.json").of(file) == Hashes(tmp_path / "none.json").of(file)
    assert Hashes(tmp_path / "none.json").of(tmp_path / "missing") is None


def test_key_goes_by_content_not_by_order():
    assert key_of({"a": 1, "b": [1, 2]}) == key_of({"b": (1, 2), "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})
    assert key_of({"a": 1}) != key_of({"a": "1"})


def test_a_backbone_in_the_home_folder_is_hashed(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "backbone.json").write_bytes(b"{}")
    hashes = Hashes(tmp_path / "hashes.json")
    assert backbone_mark("~/own", tmp_path / "elsewhere", hashes)[1] == hashes.of(tmp_path / "own")


def test_backbones_go_by_text_and_weights(tmp_path):
    file = tmp_path / "net.pt"
    file.write_bytes(b"weights")
    spec = "torchscript:net.pt?size=24"
    assert anchored(spec, tmp_path) == f"torchscript:{file}?size=24"
    assert anchored("torchvision:resnet18=net.pt", tmp_path) == f"torchvision:resnet18={file}"
    assert anchored("torchvision:resnet18=random?seed=3", tmp_path) == "torchvision:resnet18=random?seed=3"
    assert anchored("timm:resnet18?pool=mean&weights=net.pt", tmp_path) == (
        f"timm:resnet18?pool=mean&weights={tmp_path / 'net.pt'}"
    )
    (tmp_path / "a & b.pt").write_bytes(b"x")
    other = anchored("timm:resnet18?weights=a%20%26%20b.pt", tmp_path)
    assert parse_spec(other).weights == str(tmp_path / "a & b.pt")
    hashes = Hashes(tmp_path / "hashes.json")
    assert backbone_mark("timm:resnet18?weights=net.pt", tmp_path, hashes)[1] == hashes.of(file)
    first = backbone_mark(spec, tmp_path, hashes)
    file.write_bytes(b"WEIGHTS")
    assert backbone_mark(spec, tmp_path, hashes)[1] != first[1]
    assert backbone_mark(spec + "&mean=0.5", tmp_path, hashes)[0] != first[0]


# --- records


def test_a_record_knows_its_outputs(tmp_path):
    (tmp_path / "selection").mkdir()
    (tmp_path / "selection" / "a.csv").write_text("1", encoding="utf-8")
    begin(tmp_path, "select", {"budget": 3})
    assert read_begun(tmp_path, "select") == {"budget": 3}
    record = finished(tmp_path, "select", "key", {"budget": 3}, Outcome({"n": 1}, ("selection",), shipped=5))
    write_record(tmp_path, record)
    assert read_begun(tmp_path, "select") is None
    found = read_record(tmp_path, "select")
    assert found.outputs == record.outputs
    assert (found.n_bytes, found.parts, found.summary) == (1, {"budget": 3}, {"n": 1})
    assert damaged(tmp_path, found) == ""
    (tmp_path / "selection" / "a.csv").write_text("2", encoding="utf-8")
    assert damaged(tmp_path, found) == ""
    assert damaged(tmp_path, found, verify=True) == "selection/a.csv was changed"
    (tmp_path / "selection" / "a.csv").unlink()
    assert damaged(tmp_path, found) == "selection/a.csv is missing"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}', "null"])
def test_a_damaged_record_counts_as_none(tmp_path, text):
    begin(tmp_path, "select", {})
    (tmp_path / "steps" / "select.json").write_text(text, encoding="utf-8")
    assert read_record(tmp_path, "select") is None


# --- answers

IDS = ["a", "b", "c", "d"]


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_answers_are_kept_when_their_file_is_replaced(tmp_path):
    book = Book(tmp_path / "answers.json")
    file = write(tmp_path / "labels.csv", "item_id,label", "a,cat", "b,", "c,?")
    taken = book.take([file], IDS)
    assert (taken.n_new, taken.n_empty, taken.corrected) == (2, 1, {})
    book.save()
    write(file, "item_id,label", "d,dog")
    book = Book(tmp_path / "answers.json")
    assert book.take([file, tmp_path / "none.csv"], IDS).n_new == 1
    assert book.answers == {"a": "cat", "c": "?", "d": "dog"}
    assert book.labels("?") == {"a": "cat", "d": "dog"}
    assert missing(IDS, book.answers) == ["b"]


def test_a_later_answer_corrects_an_earlier_one_and_an_empty_one_does_not(tmp_path):
    book = Book(tmp_path / "answers.json")
    book.take([write(tmp_path / "one.csv", "item_id,label", "a,cat", "b,cat")], IDS)
    taken = book.take([write(tmp_path / "two.csv", "item_id,label", "a, dog ", "b,")], IDS)
    assert taken.corrected == {"a": ("cat", "dog")}
    assert book.answers == {"a": "dog", "b": "cat"}


def test_the_same_answer_twice_is_fine_and_two_answers_are_not(tmp_path):
    book = Book(tmp_path / "answers.json")
    one = write(tmp_path / "one.csv", "item_id,label", "a,cat", "a,cat")
    assert book.take([one], IDS).n_new == 1
    two = write(tmp_path / "two.csv", "item_id,label", "b,dog", "a,dog")
    with pytest.raises(InvalidInput, match=r"'a' is 'cat' in one.csv, row 2, and 'dog' in two.csv, row 3"):
        book.take([one, two], IDS)
    assert book.answers == {"a": "cat"}, "nothing of a refused file is taken in"


def test_blanks_around_an_id_are_part_of_it_where_the_pool_says_so(tmp_path):
    book = Book(tmp_path / "answers.json")
    book.take([write(tmp_path / "labels.csv", "item_id,label", " a.png,cat", " b ,dog")], [" a.png", "b"])
    assert book.answers == {" a.png": "cat", "b": "dog"}


def test_items_of_elsewhere_are_refused_by_row(tmp_path):
    book = Book(tmp_path / "answers.json")
    file = write(tmp_path / "labels.csv", "item_id,label", "a,cat", "x,cat", "y,cat")
    with pytest.raises(InvalidInput, match=r"2 of 3 items that are not in the pool: 'x' \(row 3\), 'y' \(row 4\)"):
        book.take([file], IDS)
    assert not book.answers


@pytest.mark.parametrize(
    ("name", "lines", "words"),
    [
        ("labels.csv", ["item_id,class", "a,cat"], "needs the columns item_id and label, it has item_id, class"),
        ("labels.csv", ["label", "cat"], "needs the columns item_id and label"),
        ("labels.txt", ["a"], "must be a .csv"),
    ],
)
def test_files_without_the_columns(tmp_path, name, lines, words):
    with pytest.raises(InvalidInput, match=words):
        Book(tmp_path / "answers.json").take([write(tmp_path / name, *lines)], IDS)


def test_a_list_that_came_back_from_a_spreadsheet(tmp_path):
    """Semicolons, a byte order mark and quotes, as spreadsheets save it where the comma is for decimals."""
    rows = ["\ufeffitem_id;path;rank;weight;reason;label", 'a;/x/a.png;1;3,5;"drawn; 0,13";cat', "b;;2;3,5;x,y;", ""]
    text = "\r\n".join(rows)
    (tmp_path / "to_label.csv").write_bytes(text.encode("utf-8"))
    book = Book(tmp_path / "answers.json")
    assert book.take([tmp_path / "to_label.csv"], IDS).n_new == 1
    assert book.answers == {"a": "cat"}
    (tmp_path / "odd.csv").write_bytes("item_id,label\na,K\xe4fer\n".encode("latin-1"))
    with pytest.raises(InvalidInput, match=r"odd.csv is not UTF-8 text .* Save it so"):
        book.take([tmp_path / "odd.csv"], IDS)


def test_rows_by_position_and_other_formats(tmp_path):
    book = Book(tmp_path / "answers.json")
    book.take([write(tmp_path / "one.csv", "row_id,label", "2,cat")], IDS)
    book.take([write(tmp_path / "two.jsonl", '{"item_id": "d", "label": 7}')], IDS)
    assert book.answers == {"c": "cat", "d": "7"}
    with pytest.raises(InvalidInput, match="'9'"):
        book.take([write(tmp_path / "three.csv", "row_id,label", "9,cat")], IDS)


def test_a_damaged_book_is_not_thrown_away(tmp_path):
    (tmp_path / "answers.json").write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match="restore it, or remove it"):
        Book(tmp_path / "answers.json")


# --- ledger


def test_costs_add_up_over_runs_and_broken_lines_are_cut_off(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add("embed", "interrupted", Cost(1.5, 1.0, 0.0, 0, 1))
    ledger.add("embed", "finished", Cost(2.0, 1.0, 2.0, 7, 1), stored=10)
    ledger.add("embed", "forced", gate="unusable")
    with open(ledger.path, "ab") as file:
        file.write(b'{"step": "select", "wall')
    again = Ledger(tmp_path)
    assert again.costs() == {"embed": Cost(3.5, 2.0, 2.0, 7, 2)}
    again.add("select", "finished", Cost(1.0, 1.0, 0.0, 0, 1))
    lines = ledger.path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["interrupted", "finished", "forced", "finished"]
    assert [event["gate"] for event in Ledger(tmp_path).forced()] == ["unusable"]


def test_what_a_killed_step_had_spent_is_booked_once(tmp_path):
    ledger = Ledger(tmp_path)
    with Meter(ledger.meter_path, "embed", gpu=True) as meter:
        meter.keep()  # as a kill would leave it
        written = json.loads(ledger.meter_path.read_text(encoding="utf-8"))
        assert written["step"] == "embed"
    assert ledger.meter_path.exists()
    ledger.take_up()
    ledger.take_up()
    assert [(event["step"], event["event"]) for event in ledger.events] == [("embed", "killed")]
    assert ledger.costs()["embed"].runs == 1
    assert not ledger.meter_path.exists()


def test_a_meter_measures_and_cleans_up(tmp_path):
    path = tmp_path / "meter.json"
    with Meter(path, "select", gpu=False) as meter:
        sum(range(10**6))
        cost = meter.cost(shipped=3)
    assert cost.wall_s > 0
    assert cost.cpu_s >= 0
    assert (cost.gpu_s, cost.shipped, cost.runs) == (0.0, 3, 1)
    assert not path.exists()


def test_prices():
    none = {"seconds_per_label": None, "price_per_label": None, "price_per_hour": None,
            "price_per_cpu_hour": None, "price_per_gpu_hour": None}  # fmt: skip
    spent = [Cost(wall_s=10, cpu_s=3600, gpu_s=1800), Cost(cpu_s=1800)]
    assert money(spent, 600, none) == {}
    prices = {**none, "seconds_per_label": 6, "price_per_label": 0.1, "price_per_hour": 30}
    assert money(spent, 600, prices) == pytest.approx({"label_hours": 1.0, "labels": 60.0, "work": 30.0, "total": 90.0})
    prices = {**none, "price_per_cpu_hour": 2, "price_per_gpu_hour": 4}
    assert money(spent, 600, prices) == pytest.approx({"cpu": 3.0, "gpu": 2.0, "total": 5.0})
    assert money(spent, 600, {**none, "price_per_hour": 30}) == {}, "hours are not known"


# --- gates, cells, figures


def test_gates_at_their_thresholds():
    limits = {"unusable": 0.1, "classes": 2, "accuracy": None}
    assert at_most("unusable", "embed", 0.1, limits, "x")[0].word == "go"
    assert at_most("unusable", "embed", 0.1001, limits, "x")[0].word == "no-go"
    assert at_least("classes", "labels", 2, limits, "x")[0].go
    assert not at_least("classes", "labels", 1, limits, "one class")[0].go
    assert at_least("accuracy", "evaluate", 0.0, limits, "x") == []
    assert not at_most("unusable", "embed", float("nan"), limits, "x")[0].go


def test_cells_are_kept_by_key(tmp_path):
    cells = Cells(tmp_path / "cells", "a" * 64)
    calls = []
    for _ in range(2):
        assert cells.get("one", lambda: calls.append(1) or [1, 2]) == [1, 2]
    assert calls == [1]
    other = Cells(tmp_path / "cells", "b" * 64)
    other.forget(own=False)
    assert other.get("one", lambda: "new") == "new"
    assert not cells.folder.exists()
    other.forget(own=True)
    assert not other.folder.exists()


def test_answers_whose_files_are_gone_are_made_anew(tmp_path):
    cells, file = Cells(tmp_path / "cells", "a" * 64), tmp_path / "made"

    def compute():
        file.write_bytes(b"1")
        return {"n": 1}

    def load(told):
        if not file.exists():
            raise StoreError("gone")
        return file.read_bytes(), told["n"]

    for _ in range(2):
        assert cells.get_with("one", compute, load) == ({"n": 1}, (b"1", 1))
        file.unlink()
    with pytest.raises(StoreError, match="gone"):
        cells.get_with("one", lambda: {"n": 2}, load)


def test_intervals_and_sizes():
    assert sizes_of((0.1, 0.25, 1.0), 30) == [3, 8, 30]
    assert sizes_of((0.01, 0.02, 0.02), 10) == [1, 1]
    one = mean_dict([0.5, 0.7, 0.9], 0.95)
    assert one["mean"] == pytest.approx(0.7)
    assert one["low"] == pytest.approx(0.7 - 4.303 * 0.2 / 3**0.5, abs=0.02)  # Student's t, two degrees of freedom
    assert mean_dict([0.9, 1.0, 0.95], 0.95, 0.0)["high"] == 1.0
    assert mean_dict([0.4], 0.95) == {"mean": 0.4, "low": 0.4, "high": 0.4}
    whole = share_dict(10, 10, 0.95)
    assert whole["mean"] == 1.0
    assert 0.6 < whole["low"] < 0.8


def test_pages_escape_what_comes_from_outside(tmp_path):
    nasty = '<script>alert("x")</script>|'
    section = Section(
        "S", [nasty], [Table(nasty, ["a"], [[nasty], [1234]])], pictures=[(str(tmp_path / "no.png"), "x")]
    )
    html, text = as_html(nasty, [section]), as_markdown("t", [section])
    assert "<script>" not in html
    assert "1,234" in html
    assert html.count("<table>") == 1
    row = next(line for line in text.splitlines() if "alert" in line and line.startswith("| "))
    assert row.count("|") == 2


def test_figures_need_no_more_than_they_are_given():
    point = {"mean": 0.5, "low": 0.4, "high": 0.6}
    curve = [{"n": 5, "ours": point}, {"n": 10, "ours": {**point, "mean": 0.7, "high": 0.8}, "random": point}]
    assert curve_svg(curve).count("<polyline") == 2
    table = [{"kind": "pool", "level": 1.0, "accuracy": point}, {"kind": "pool", "level": 0.5, "note": "not run"}]
    assert sensitivity_svg(table) == ""
    table.append({"kind": "corruption", "level": 0.3, "accuracy": point})
    assert sensitivity_svg(table).count("<polyline") == 1


def test_labels_go_to_trainings_by_the_names_that_the_pool_has():
    from oneglance.pipeline.methods import Known
    from oneglance.strategies.pool import as_pool

    known = Known(np.array([0, 2]), np.array(["x", "y"], dtype=object), np.ones(2), "equal")
    pool = as_pool({"a": np.eye(3)})
    assert known.by_item(pool) == {"0": "x", "2": "y"}
    named = dataclasses.replace(pool, ids=np.array(["p", "q", "r"], dtype=object))
    assert known.by_item(named) == {"p": "x", "r": "y"}


def test_what_is_never_held_out_is_no_tie():
    """Classes of one label: two backbones are compared on the items that were judged, not on these."""
    from oneglance.pipeline.methods import Known
    from oneglance.pipeline.methods.judge import cross_validated

    rng = np.random.default_rng(0)
    kinds = np.array(["a", "b"] * 8 + [f"lone {i}" for i in range(10)], dtype=object)
    known = Known(np.arange(26), kinds, np.ones(26), "equal")
    rows = rng.normal(size=(26, 5)) + 9.0 * (kinds == "a")[:, None]
    found = cross_validated({"x": rows}, known, {"head": "nearest_mean", "folds": 4, "seed": 0}, 0.95)
    assert (found.n, found.right.shape) == (16, (16,))
    assert found.accuracy["mean"] == found.right.mean()


def test_frames_of_scenes_prove_nothing_of_each_other():
    """Labels by coin per scene: heads that know a scene name its other frames, which the gate must not believe."""
    from oneglance.pipeline.methods import Known
    from oneglance.pipeline.methods.judge import cross_validated

    rng = np.random.default_rng(0)
    scenes = np.repeat(np.arange(20), 5)
    rows = rng.normal(size=(20, 8))[scenes] + 0.05 * rng.normal(size=(100, 8))
    coins = np.array(["a", "b"], dtype=object)[rng.permutation(20) % 2][scenes]
    found = {}
    for groups in (None, scenes):
        known = Known(np.arange(100), coins, np.ones(100), "equal", groups)
        found[groups is None] = cross_validated({"x": rows}, known, {"head": "knn", "folds": 5, "seed": 0}, 0.95)
    assert found[True].gain["low"] > 0.3
    assert found[False].gain["low"] <= 0
    assert found[False].accuracy["mean"] == found[False].right.mean()
    wide = found[False].accuracy
    assert wide["high"] - wide["low"] > 0.35, "twenty draws, not a hundred"
    assert known.part(scenes > 17).groups.tolist() == [18] * 5 + [19] * 5


def test_intervals_of_groups():
    values = np.array([1.0, 1.0, 0.0, 0.0, 1.0, 1.0])
    plain = mean_dict(values, 0.95)
    assert mean_dict(values, 0.95, groups=np.arange(6)) == pytest.approx(plain)
    pairs = mean_dict(values, 0.95, groups=np.array([0, 0, 1, 1, 2, 2]))
    assert pairs == pytest.approx(mean_dict(values[::2], 0.95)), "each value twice is no second value"
    assert pairs["high"] - pairs["low"] > plain["high"] - plain["low"]


def test_curves_of_very_few_labels_keep_their_places():
    """Folds that leave five and six labels: all of them belong together, and so does every share."""
    from oneglance.pipeline.steps.evaluate import _curve

    shares = (0.1, 0.25, 0.5, 0.75, 1.0)
    found = [[{"n": size, "ours": size / n} for size in sizes_of(shares, n)] for n in (5, 6, 6)]
    curve = _curve(found, 0.95)
    assert [point["n"] for point in curve] == [1, 2, 3, 4, 6]
    assert curve[-1]["ours"]["mean"] == 1.0
    assert [point["n"] for point in _curve([[{"n": 1, "ours": 0.1}, {"n": 1, "ours": 0.3}]] * 3, 0.95)] == [1]
    assert _curve([[], []], 0.95) == []


def test_a_single_value_shows_no_interval():
    assert interval(mean_dict([0.6, 0.7, 0.65], 0.95)).startswith("0.650 [")
    assert interval(mean_dict([0.6, 0.6, 0.6], 0.95)) == "0.600"
    assert interval({"mean": 0.0, "low": 0.0, "high": 0.0}, signed=True) == "+0.000"
    assert interval(share_dict(10, 10, 0.95)) == "1.000 [0.722, 1.000]"


def test_noise_of_a_row_does_not_depend_on_the_others():
    from oneglance.pipeline.steps.sensitivity import corrupted, normals
    from oneglance.strategies import as_pool

    rows = np.random.default_rng(0).normal(size=(40, 6)) * np.arange(1, 7)
    pool = as_pool({"a": rows.astype(np.float32)})
    some = corrupted(pool, np.array([3, 7]), 1.0, 0, 5).features["a"].take(np.arange(40))
    more = corrupted(pool, np.array([7, 3, 9, 30]), 1.0, 0, 5).features["a"].take(np.arange(40))
    changed = np.flatnonzero((some != rows.astype(np.float32)).any(axis=1))
    assert changed.tolist() == [3, 7]
    assert np.array_equal(some[[3, 7]], more[[3, 7]])
    drawn = np.concatenate([normals(0, row, 500, 1) for row in range(20)])
    assert abs(drawn.mean()) < 0.04
    assert abs(drawn.std() - 1) < 0.03
    assert len(np.unique(drawn)) == drawn.size


def test_paths_are_anchored_at_the_file(tmp_path):
    found = config(
        tmp_path, '[pipeline]\nout = "runs/one"\n[pool]\nsource = ["a.npy", "b.npy"]\n[select]\nbudget = "2%"\n'
    )
    assert found.folder == tmp_path / "runs" / "one"
    assert found.source("pool") == [str(tmp_path / "a.npy"), str(tmp_path / "b.npy")]
    assert found.path_of("/x/y") == Path("/x/y")


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("select", "budget = 0"),
        ("select", 'budget = "0%"'),
        ("select", 'budget = "150%"'),
        ("select", 'budget = "1.5"'),
        ("select", "budget = 5\nquotas = { a = 3 }"),
        ("adapt", "lambdas = [1.0, -1.0]"),
        ("evaluate", "level = 1.0"),
        ("evaluate", "level = 0"),
        ("evaluate", "curve = [0, 1]"),
        ("sensitivity", "pool_shares = [0.0]"),
    ],
)
def test_settings_that_cannot_work_are_told_before_anything_runs(tmp_path, section, line):
    """They stopped the run after the embedding, or after people had labelled."""
    start = '[pool]\nsource = "x.npz"\n' + ("" if section == "select" else "[select]\nbudget = 5\n")
    path = tmp_path / "p.toml"
    path.write_text(f"{start}[{section}]\n{line}\n")
    with pytest.raises(InvalidInput, match=rf"p.toml, line \d, \[{section}\]"):
        read_config(path)
    path.write_text(f"{start}[{section}]\n" + {"select": 'budget = "2.5%"'}.get(section, ""))
    read_config(path)
