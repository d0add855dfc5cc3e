"""A pipeline as its user meets it: labels that come back in between, changes, kills, stops, gates."""

import csv
import functools
import hashlib
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import run as oneglance

import oneglance as og

pytest.importorskip("safetensors", reason="the step adapt saves heads")

N, CLASSES = 150, ("bar", "blob", "ring")
TOML = """
[pool]
source = "pool.npz"
vector_columns = ["X"]
id_column = "ids"
[test]
source = "test.npz"
vector_columns = ["X"]
labels = "test.npz:y"
[audit]
near = 0.9999
permutations = 199
sample_rows = 100
clusters = 3
[select]
budget = 20
[adapt]
head = "nearest_mean"
[evaluate]
repeats = 3
curve = [0.5, 1.0]
"""


def vectors(path, n, seed):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    rows = 4 * np.eye(3, 12)[codes] + rng.normal(size=(n, 12))
    ids = np.array([f"{CLASSES[code]}/{i:03d}" for i, code in enumerate(codes)])
    np.savez(path, X=rows.astype(np.float32), ids=ids, y=np.array(CLASSES)[codes])


@pytest.fixture
def place(tmp_path):
    vectors(tmp_path / "pool.npz", N, 0)
    vectors(tmp_path / "test.npz", 60, 1)
    return write(tmp_path, TOML)


def write(folder, text, *changes):
    """pipeline.toml, with each change (old, new) made."""
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "pipeline.toml"
    path.write_text(text, encoding="utf-8")
    return path


def listed(path):
    with open(path.parent / "pipeline.run" / "to_label.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def answer(path, rows=None, name="pipeline.run/labels.csv", label=lambda item: item.split("/")[0]):
    """The picks' labels, as their ids say."""
    rows = listed(path) if rows is None else rows
    with open(path.parent / name, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["item_id", "label"])
        out.writerows([row["item_id"], label(row["item_id"])] for row in rows)
    return [row["item_id"] for row in rows]


def states(found):
    return {step.name: step.state for step in found.steps}


def why(found, name):
    return next(step.why for step in found.steps if step.name == name)


def events(path):
    text = (path.parent / "pipeline.run" / "ledger.jsonl").read_text(encoding="utf-8")
    return [(event["step"], event["event"]) for event in map(json.loads, text.splitlines())]


def to_the_end(path):
    assert og.run_pipeline(path).state == "labels needed"
    answer(path)
    found = og.run_pipeline(path)
    assert found.state == "finished"
    return found


# --- the way through


def test_from_a_pool_to_a_report_with_the_labels_in_between(place):
    first = og.run_pipeline(place)
    assert first.state == "labels needed"
    wanted = dict.fromkeys(("audit", "pretrain"), "left out") | {"labels": "waiting"}
    wanted |= dict.fromkeys(("embed", "audit_features", "select"), "done")
    assert states(first) == wanted | dict.fromkeys(("adapt", "evaluate", "sensitivity"), "not reached")
    assert str(first.folder / "to_label.csv") in first.message
    rows = listed(place)
    assert len(rows) == 20
    assert list(rows[0]) == ["item_id", "path", "rank", "weight", "reason", "label"]
    assert all(row["reason"] and float(row["weight"]) > 0 and not row["label"] for row in rows)

    assert og.run_pipeline(place).ran == (), "nothing new: still waiting"
    answer(place)
    found = og.run_pipeline(place)
    assert (found.state, found.ran) == ("finished", ("labels", "adapt", "evaluate"))
    assert found.ledger["labels"] == 20
    report = json.loads((found.folder / "report.json").read_text(encoding="utf-8"))
    told = report["summaries"]["evaluate"]
    assert told["how"] == "the test set"
    assert told["accuracy"]["mean"] > 0.9 > told["majority"]
    assert [point["n"] for point in told["curve"]] == [10, 20]
    html = (found.folder / "report.html").read_text(encoding="utf-8")
    assert "<svg" in html
    assert "src=" not in html.replace('src="data:', "")
    for section in ("What to label", "The labels", "How good it is", "The ledger"):
        assert section in html
        assert section in (found.folder / "report.md").read_text(encoding="utf-8")
    heads = og.load_heads(found.folder / "heads")
    assert sorted(set(heads.predict_ensemble(found.folder / "store").tolist())) == list(CLASSES)

    again = og.run_pipeline(place)
    assert again.ran == ()
    assert {step.state for step in again.steps} == {"kept", "left out"}
    assert again.ledger["total"] == found.ledger["total"], "kept steps cost nothing"


def test_picks_are_those_of_select(place):
    og.run_pipeline(place, until="select")
    store = og.open_store(place.parent / "pipeline.run" / "store")
    chosen = og.select(store, 20, "auto", seed=0)
    assert [row["item_id"] for row in listed(place)] == list(chosen.ids)
    run = json.loads((place.parent / "pipeline.run" / "selection" / "run.json").read_text(encoding="utf-8"))
    assert run["request"]["input_hash"] == store.content_hash()


def test_folder_of_the_selection_serves_the_other_verbs(place):
    to_the_end(place)
    folder = place.parent / "pipeline.run"
    where = (
        "--labels",
        folder / "labels.csv",
        "--selection",
        folder / "selection",
        "--out",
        place.parent / "own",
    )
    out, _ = oneglance("adapt", "heads", folder / "store", *where, "--head", "nearest_mean", "--json")
    assert json.loads(out)["n_labelled"] == 20


# --- what runs again, and why


def test_groups_are_judged_as_wholes(place):
    """Twenty labels of fewer scenes: the folds of adapt and of the learning curve go by scenes."""
    with np.load(place.parent / "pool.npz") as found:
        np.savez(place.parent / "pool.npz", **found, scene=np.arange(N) // 3 % 4)
    write(place.parent, TOML, ('id_column = "ids"', 'id_column = "ids"\ngroup_column = "scene"'))
    found = to_the_end(place)
    accuracy = og_record(found.folder, "adapt")["summary"]["judged"]["accuracy"]
    assert accuracy["mean"] > 0.9
    assert accuracy["low"] < 0.6, "four draws, not twenty"


def test_a_larger_budget_asks_only_for_what_is_missing(place):
    before = to_the_end(place)
    first = [row["item_id"] for row in listed(place)]
    write(place.parent, TOML, ("budget = 20", "budget = 26"))
    found = og.run_pipeline(place)
    assert found.state == "labels needed"
    assert states(found)["embed"] == states(found)["audit_features"] == "kept"
    assert why(found, "select") == "select.budget 20 -> 26"
    more = [row["item_id"] for row in listed(place)]
    assert len(more) == 6
    assert not set(more) & set(first)
    answer(place)  # the file now has the six alone: the earlier answers are kept
    found = og.run_pipeline(place)
    assert (found.state, found.ledger["labels"]) == ("finished", 26)
    assert found.ledger["steps"]["embed"] == before.ledger["steps"]["embed"]
    assert found.ledger["steps"]["select"]["runs"] == 2

    write(place.parent, TOML, ("budget = 20", "budget = 10"))
    fewer = og.run_pipeline(place)
    assert (fewer.state, fewer.ledger["labels"], listed(place)) == ("finished", 26, [])


def test_changes_reach_the_steps_that_they_concern(place):
    to_the_end(place)
    changed = write(place.parent, TOML, ("repeats = 3", "repeats = 4"))
    assert og.run_pipeline(changed, dry_run=True).message == "next: evaluate"
    found = og.run_pipeline(changed)
    assert (found.ran, why(found, "evaluate")) == (("evaluate",), "evaluate.repeats 3 -> 4")
    write(place.parent, TOML, ("repeats = 3", "repeats = 4"), ('"nearest_mean"', '"knn"'))
    assert og.run_pipeline(place).ran == ("adapt", "evaluate")
    text = TOML.replace("repeats = 3", "repeats = 4").replace('"nearest_mean"', '"knn"')
    write(place.parent, text + '[pipeline]\ntitle = "Other"\n[costs]\nprice_per_label = 2\n')
    found = og.run_pipeline(place)
    assert found.ran == (), "what the result does not depend on runs nothing"
    assert found.ledger["money"] == {"labels": 40, "total": 40, "currency": "EUR"}


def test_other_arrays_of_the_same_file_are_another_pool(place):
    for name in ("pool.npz", "test.npz"):
        with np.load(place.parent / name) as found:
            arrays = dict(found)
        np.savez(place.parent / name, **arrays, Z=arrays["X"][:, ::-1])
    to_the_end(place)
    before = np.array(og.open_store(place.parent / "pipeline.run" / "store").features("pool"))
    write(place.parent, TOML, ('vector_columns = ["X"]', 'vector_columns = ["Z"]'))
    found = og.run_pipeline(place)
    assert {"embed", "select", "evaluate"} <= set(found.ran)
    assert "pool changed; test set changed" in why(found, "embed")
    after = np.array(og.open_store(found.folder / "store").features("pool"))
    assert np.array_equal(after, before[:, ::-1])


def test_what_the_audit_leaves_out_reaches_those_who_draw_from_the_rest(place):
    """The selection stays (there are labels enough), random picks and smaller pools do not."""
    with np.load(place.parent / "pool.npz") as found:
        arrays = dict(found)
    arrays["X"][1::3][:9] = arrays["X"][1]  # nine alike
    np.savez(place.parent / "pool.npz", **arrays)
    text = TOML.replace("[evaluate]", '[evaluate]\nlabels = "pool.npz:y"') + (
        '[sensitivity]\nlabels = "pool.npz:y"\nrepeats = 3\npool_shares = [0.5]\ncorruption = [0.5]\n'
    )
    write(place.parent, text)
    to_the_end(place)
    fewer = text.replace("budget = 20", "budget = 10")
    write(place.parent, fewer)
    assert "select" in og.run_pipeline(place).ran
    before = og_record(place.parent / "pipeline.run", "sensitivity")["summary"]["table"][0]["n_pool"]
    write(place.parent, fewer.replace("[audit]", "[audit]\nleave_out = false"))
    found = og.run_pipeline(place)
    assert found.ran == ("select", "evaluate", "sensitivity")
    assert why(found, "evaluate") == "left out by the audit changed"
    assert og_record(found.folder, "sensitivity")["summary"]["table"][0]["n_pool"] == before + 8
    there = og.run_pipeline(place).ledger["labels"]
    answer(place, [{"item_id": item} for item in arrays["ids"].tolist()[100:110]])
    write(place.parent, fewer.replace("[audit]", "[audit]\nleave_out = false").replace("budget = 10", "budget = 11"))
    found = og.run_pipeline(place)
    assert f"number of labels {there} -> {found.ledger['labels']}" in why(found, "sensitivity")


def test_weights_are_the_same_for_heads_and_for_sensitivity(place):
    text = TOML.replace("[select]", '[select]\nstrategy = "lewis"')
    text += '[sensitivity]\nlabels = "pool.npz:y"\nrepeats = 3\npool_shares = [0.5]\ncorruption = [0.5]\n'
    write(place.parent, text)
    found = to_the_end(place)
    assert og_record(found.folder, "adapt")["summary"]["weights"] == "of the selection"
    write(place.parent, text, ('head = "nearest_mean"', 'head = "nearest_mean"\nweights = "equal"'))
    found = og.run_pipeline(place)
    assert why(found, "sensitivity") == "weights True -> False"
    assert og_record(found.folder, "adapt")["summary"]["weights"] == "equal"


def test_an_edited_pool_is_embedded_again(place):
    to_the_end(place)
    vectors(place.parent / "pool.npz", N, 3)
    found = og.run_pipeline(place)
    assert "embed" in found.ran
    assert "pool changed" in why(found, "embed")
    assert "embed has another result" in why(found, "select")
    assert found.state == "finished", "labels are by item: they stay"


def test_a_missing_or_damaged_output_is_made_again(place):
    to_the_end(place)
    folder = place.parent / "pipeline.run"
    (folder / "heads" / "heads.json").unlink()
    found = og.run_pipeline(place)
    assert (found.ran, why(found, "adapt")) == (("adapt",), "heads/heads.json is missing")
    picks = folder / "selection" / "selected.csv"
    kept = picks.read_bytes()
    picks.write_bytes(kept.replace(b"1", b"2"))
    assert og.run_pipeline(place).ran == ()
    found = og.run_pipeline(place, verify=True)
    assert "selection/selected.csv was changed" in why(found, "select")


@pytest.mark.parametrize("name", ["store", "audit_features", "selection"])
def test_a_dry_run_and_a_report_where_a_folder_is_gone(place, name):
    folder = to_the_end(place).folder
    shutil.rmtree(folder / name)
    plan = og.run_pipeline(place, dry_run=True)
    step = {"store": "embed", "selection": "select"}.get(name, name)
    assert plan.message == f"next: {step}"
    assert "is missing" in why(plan, step)
    assert why(plan, "evaluate") == "kept if the results of earlier steps stay the same"
    if name == "audit_features":
        _, err = oneglance("report", place, code=2)
        assert f"audit.json is missing. Make it anew: oneglance run {place}" in err
    assert step in og.run_pipeline(place).ran


def test_rerun_and_until(place):
    to_the_end(place)
    plan = og.run_pipeline(place, rerun="adapt", until="adapt", dry_run=True)
    assert (states(plan)["adapt"], states(plan)["evaluate"]) == ("to run", "not reached")
    assert plan.message == "next: adapt"
    found = og.run_pipeline(place, rerun="adapt", until="adapt")
    assert (found.ran, why(found, "adapt")) == (("adapt",), "asked for")
    assert states(found)["evaluate"] == "not reached"
    assert og.run_pipeline(place).ran == ()
    parts = list(found.folder.glob("evaluate/*/*.json"))
    shard = next((found.folder / "store").glob("features/*/*.npy"))
    before = {one: os.stat(one).st_mtime_ns for one in (*parts, shard)}
    assert og.run_pipeline(place, rerun="evaluate").ran == ("evaluate",)
    assert all(os.stat(one).st_mtime_ns > before[one] for one in parts), "finished parts are done again, too"
    assert os.stat(shard).st_mtime_ns == before[shard]
    assert "embed" in og.run_pipeline(place, rerun="embed", until="embed").ran
    assert os.stat(shard).st_mtime_ns > before[shard]


# --- labels


def test_partial_labels_wait_or_go_on_as_asked(place):
    og.run_pipeline(place)
    rows = listed(place)
    answer(place, rows[:12])
    found = og.run_pipeline(place)
    assert (found.state, why(found, "labels")) == ("labels needed", "8 of 20 picks have no label yet")
    assert rows[12]["item_id"] in found.message
    write(place.parent, TOML + "[labels]\nleast = 0.6\n")
    found = og.run_pipeline(place)
    assert (found.state, found.ledger["labels"]) == ("finished", 12)
    answer(place, rows)
    found = og.run_pipeline(place)
    assert (found.ran, found.ledger["labels"]) == (("labels", "adapt", "evaluate"), 20)


def test_forced_partial_labels_are_in_the_ledger(place):
    og.run_pipeline(place)
    answer(place, listed(place)[:15])
    found = og.run_pipeline(place, force=["labels"])
    assert found.state == "finished"
    (entry,) = found.ledger["forced"]
    assert (entry["gate"], entry["step"]) == ("labels", "labels")
    assert "5 of 20" in entry["reason"]
    assert "Passed by force" in (found.folder / "report.md").read_text(encoding="utf-8")
    assert og.run_pipeline(place).ran == ()


def test_the_list_filled_in_where_it_lies_is_not_lost(place):
    og.run_pipeline(place)
    rows = listed(place)
    path = place.parent / "pipeline.run" / "to_label.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, rows[0])
        out.writeheader()
        out.writerows({**row, "label": row["item_id"].split("/")[0]} for row in rows[:14])
    write(place.parent, TOML, ("budget = 20", "budget = 18"))  # the selection is made anew, and with it the list
    found = og.run_pipeline(place)
    assert (found.state, found.ledger["labels"]) == ("labels needed", 14)
    assert len(listed(place)) == 4
    answer(place)
    assert og.run_pipeline(place).ledger["labels"] == 18


def test_labels_from_several_files(place):
    write(place.parent, TOML + '[labels]\nfile = ["anna.csv", "otto.csv"]\n')
    assert str(place.parent / "anna.csv") in og.run_pipeline(place).message
    rows = listed(place)
    answer(place, rows[:11], "anna.csv")
    answer(place, rows[9:], "otto.csv")
    assert og.run_pipeline(place).ledger["labels"] == 20


def test_answers_of_cannot_tell_are_answers_and_no_labels(place):
    og.run_pipeline(place)
    unclear = listed(place)[3]["item_id"]
    answer(place, label=lambda item: "?" if item == unclear else item.split("/")[0])
    found = og.run_pipeline(place)
    assert (found.state, found.ledger["answers"], found.ledger["labels"]) == ("finished", 20, 19)
    write(place.parent, TOML, ("budget = 20", "budget = 21"))
    og.run_pipeline(place)
    assert len(listed(place)) == 2, "what nobody could tell is asked for elsewhere"
    assert unclear not in [row["item_id"] for row in listed(place)]


def test_labels_that_are_there_before_the_first_selection_count(place):
    known = [{"item_id": f"{CLASSES[i % 3]}/{i:03d}"} for i in range(8)]
    answer(place, known, "known.csv")
    write(place.parent, TOML + '[labels]\nfile = "known.csv"\n')
    found = og.run_pipeline(place)
    assert found.state == "labels needed"
    asked = [row["item_id"] for row in listed(place)]
    assert len(asked) == 12
    assert not {row["item_id"] for row in known} & set(asked)


def test_a_wrong_labels_file_stops_nothing_but_itself(place):
    og.run_pipeline(place)
    answer(place, [{"item_id": "bar/999"}])
    for _ in range(2):
        with pytest.raises(og.InvalidInput, match="'bar/999' .row 2."):
            og.run_pipeline(place)
    answer(place)
    assert og.run_pipeline(place).state == "finished"


def test_items_that_leave_the_pool_take_nothing_with_them_but_their_label(place):
    """Two picks are removed, one answered and one not: the list and the answers still name them."""
    og.run_pipeline(place)
    rows = listed(place)
    answer(place, rows[1:])
    write(place.parent, TOML + "[labels]\nleast = 0.9\n")
    assert og.run_pipeline(place).ledger["labels"] == 19
    gone = [rows[0]["item_id"], rows[1]["item_id"]]
    with np.load(place.parent / "pool.npz") as found:
        kept = ~np.isin(found["ids"], gone)
        np.savez(place.parent / "pool.npz", **{name: found[name][kept] for name in found.files})
    found = og.run_pipeline(place)
    assert found.ledger["labels"] == 19, "paid for is paid for"
    assert not set(gone) & {row["item_id"] for row in listed(place)}
    answer(place)
    found = og.run_pipeline(place)
    assert found.state == "finished"
    told = {name: og_record(found.folder, name)["summary"] for name in ("labels", "adapt")}
    assert told["labels"]["n_labels"] == told["adapt"]["n_labels"] == 20
    assert found.ledger["labels"] == 21
    answer(place, [{"item_id": gone[0]}], label=lambda item: "ring")
    with pytest.raises(og.InvalidInput, match=r"names 1 of 1 items that are not in the pool"):
        og.run_pipeline(place)


@pytest.mark.parametrize("method", ["masks", "finetune"])
def test_methods_that_need_pictures_say_so_before_anybody_labels(place, method):
    write(place.parent, TOML, ("[adapt]", f'[adapt]\nmethod = "{method}"'))
    with pytest.raises(og.InvalidInput, match=f'method = "{method}" trains on pictures'):
        og.run_pipeline(place)
    assert not (place.parent / "pipeline.run" / "to_label.csv").exists()


def test_backbones_that_nothing_could_run_are_refused(place):
    og.run_pipeline(place, until="embed")
    store = place.parent / "pipeline.run" / "store"
    store.rename(place.parent / "mine")
    given = ('id_column = "ids"', 'id_column = "ids"\nbackbones = ["timm:resnet18=random"]')
    for text, what in ((TOML, "holds ready vectors"), (TOML.replace("pool.npz", "mine"), "is a feature store")):
        write(place.parent, text, given)
        with pytest.raises(og.InvalidInput, match=rf"\[pool\] backbones run on pictures, and source {what}"):
            og.run_pipeline(place)


def test_labels_of_the_test_set_are_looked_at_before_anybody_labels(place):
    write(place.parent, TOML, ('labels = "test.npz:y"', 'labels = "test.npz:z"'))
    with pytest.raises(og.InvalidInput, match=r"name an array of .*test.npz as .*test.npz:NAME; it has X, ids, y"):
        og.run_pipeline(place)
    assert not (place.parent / "pipeline.run" / "to_label.csv").exists()
    write(place.parent, TOML.replace("[evaluate]", '[evaluate]\nlabels = "kind"'))
    with pytest.raises(og.InvalidInput, match=r"\[evaluate\] labels: 'kind' is neither a column"):
        og.run_pipeline(place)


# --- gates


def test_a_gate_stops_the_run_and_force_is_kept_for_this_result_only(place):
    og.run_pipeline(place)
    answer(place)
    write(place.parent, TOML + "[gates]\naccuracy = 1.0\n")
    found = og.run_pipeline(place)
    assert found.state == "stopped"
    assert "--force accuracy" in found.message
    assert states(found)["sensitivity"] == "not reached"
    assert og.run_pipeline(place).state == "stopped"
    forced = og.run_pipeline(place, force=["accuracy"])
    assert (forced.state, forced.ran) == ("finished", ())
    assert [entry["gate"] for entry in forced.ledger["forced"]] == ["accuracy"]
    again = og.run_pipeline(place)
    assert again.state == "finished", "passed once for this value and threshold"
    assert len(again.ledger["forced"]) == 1
    write(place.parent, TOML + "[gates]\naccuracy = 0.9999\n")
    assert og.run_pipeline(place).state == "stopped", "another threshold is judged anew"
    write(place.parent, TOML + '[gates]\naccuracy = "off"\n')
    assert og.run_pipeline(place).state == "finished"


def test_labels_that_say_nothing_stop_before_evaluation(place):
    og.run_pipeline(place)
    answer(place, label=lambda item: CLASSES[hashlib.sha256(item.encode()).digest()[0] % 3])
    found = og.run_pipeline(place)
    assert found.state == "stopped"
    gate = next(gate for gate in found.gates if not gate.go)
    assert (gate.name, gate.step) == ("majority", "adapt")
    assert gate.value <= 0
    assert states(found)["evaluate"] == "not reached"


def test_one_class_is_no_go(place):
    og.run_pipeline(place)
    answer(place, label=lambda item: "bar")
    found = og.run_pipeline(place)
    assert (found.state, [gate.name for gate in found.gates if not gate.go]) == ("stopped", ["classes"])


def test_leakage_is_no_go(place):
    pool, test = (dict(np.load(place.parent / name)) for name in ("pool.npz", "test.npz"))
    test["X"][:6] = pool["X"][:6]
    np.savez(place.parent / "test.npz", **test)
    found = og.run_pipeline(place)
    assert found.state == "stopped"
    assert [gate.value for gate in found.gates if gate.name == "leakage"] == [0.1]
    assert states(found)["select"] == "not reached"


def test_what_the_audit_found_is_left_out(place):
    pool = dict(np.load(place.parent / "pool.npz"))
    pool["X"][40:50] = pool["X"][30]
    np.savez(place.parent / "pool.npz", **pool)
    write(place.parent, TOML, ("budget = 20", f"budget = {N - 10}"))
    og.run_pipeline(place)
    picked = {row["item_id"] for row in listed(place)}
    assert len(picked) == N - 10
    assert [str(item) for item in pool["ids"] if item not in picked] == [str(item) for item in pool["ids"][40:50]]
    write(place.parent, TOML, ("budget = 20", f"budget = {N}"), ("[audit]", "[audit]\nleave_out = false"))
    found = og.run_pipeline(place)
    assert states(found)["audit_features"] == "kept"
    assert len(listed(place)) == N


# --- trials with all labels known


def test_random_picks_and_sensitivity_where_all_labels_are_known(place):
    more = '[sensitivity]\nlabels = "pool.npz:y"\nrepeats = 3\n'
    more += "pool_shares = [0.1, 0.5]\ncorruption = [0.5]\nnoise = 30\n"
    write(place.parent, TOML.replace("[evaluate]", '[evaluate]\nlabels = "pool.npz:y"') + more)
    found = to_the_end(place)
    told = json.loads((found.folder / "report.json").read_text(encoding="utf-8"))["summaries"]
    last = told["evaluate"]["curve"][-1]
    assert last["difference"]["mean"] == pytest.approx(last["ours"]["mean"] - last["random"]["mean"])
    table = {(one["kind"], one["level"]): one for one in told["sensitivity"]["table"]}
    assert table["pool", 1.0]["difference"]["mean"] == 0
    assert "note" in table["pool", 0.1], "15 items are fewer than the budget"
    assert table["pool", 0.5]["n_pool"] == N // 2
    assert table["corruption", 0.5]["accuracy"]["mean"] < table["pool", 1.0]["accuracy"]["mean"]
    write(place.parent, (place.parent / "pipeline.toml").read_text(encoding="utf-8").replace("noise = 30", "noise = 0"))
    again = og.run_pipeline(place)
    assert again.ran == ("sensitivity",)
    table = json.loads((found.folder / "report.json").read_text(encoding="utf-8"))["summaries"]["sensitivity"]["table"]
    assert [one["difference"]["mean"] for one in table if one["kind"] == "corruption"] == [0.0]


@pytest.mark.parametrize("known", [True, False])
def test_without_a_test_set(place, known):
    text = TOML.partition("[test]")[0] + "[audit]" + TOML.partition("[audit]")[2]
    if known:
        text = text.replace("[evaluate]", '[evaluate]\nlabels = "pool.npz:y"')
    write(place.parent, text)
    found = to_the_end(place)
    told = json.loads((found.folder / "report.json").read_text(encoding="utf-8"))["summaries"]["evaluate"]
    assert told["n"] == (N - 20 if known else 20)
    assert told["how"] == ("items of the pool without a label" if known else "labels held out in turn")
    assert ("random" in told["curve"][0]) == known


def test_a_trial_in_which_random_picks_leave_nothing_to_judge_on(place):
    vectors(place.parent / "pool.npz", 24, 0)
    text = TOML.partition("[test]")[0] + "[audit]\nfeatures = false\n[select]" + TOML.partition("[select]")[2]
    write(place.parent, text, ("budget = 20", "budget = 23"), ("[evaluate]", '[evaluate]\nlabels = "pool.npz:y"'))
    found = to_the_end(place)
    told = json.loads((found.folder / "report.json").read_text(encoding="utf-8"))["summaries"]["evaluate"]
    assert told["n"] == 1
    assert all("random" not in point for point in told["curve"])
    assert told["without_random"] in (found.folder / "report.md").read_text(encoding="utf-8")


# --- pictures


def pictures(folder, n, seed):
    """Rings, blobs and bars on noise, 24 x 24."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:24, :24]
    for i in range(n):
        kind = CLASSES[i % 3]
        cx, cy = rng.uniform(9, 15, 2)
        far = np.hypot(x - cx, y - cy)
        shape = {"blob": far < 5, "ring": abs(far - 6) < 1.5, "bar": abs(x - cx) < 2}[kind]
        pixels = rng.integers(0, 60, (24, 24, 3)) + 180 * shape[..., None]
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / kind / f"{i:03d}.bmp")


def network(path, seed):
    """A small random network as TorchScript."""
    import warnings

    torch = pytest.importorskip("torch")
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 24, 5, stride=2), torch.nn.ReLU(), torch.nn.AdaptiveMaxPool2d(3),
                              torch.nn.Flatten())  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch wants torch.export instead
        torch.jit.trace(net.eval(), torch.zeros(1, 3, 24, 24)).save(str(path))


PICTURES = """
[pool]
source = "pool"
backbones = ["torchscript:one.pt?size=24&mean=0.5&std=0.5"]
[test]
source = "test"
[audit]
workers = 0
permutations = 199
sample_rows = 100
clusters = 3
hamming = 0
near = 0.9999
[embed]
workers = 0
shard_rows = 32
[select]
budget = 18
[adapt]
head = "nearest_mean"
scale = "standardise"
[evaluate]
repeats = 3
curve = [1.0]
"""


def test_pictures_from_the_files_to_the_report(tmp_path):
    pictures(tmp_path / "pool", 90, 0)
    pictures(tmp_path / "test", 30, 1)
    network(tmp_path / "one.pt", 0)
    path = write(tmp_path, PICTURES)
    found = to_the_end(path)
    folder = found.folder
    rows = listed(path)
    assert all(Path(row["path"]).is_file() for row in rows)
    shipped = sum(os.stat(row["path"]).st_size for row in rows) + os.stat(folder / "to_label.csv").st_size
    assert found.ledger["steps"]["select"]["shipped"] == shipped
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert html.count("data:image/jpeg") == len(rows)
    assert found.gates[-1].go

    # Another backbone: the first one's shards stay as they are.
    shards = {one: os.stat(one).st_ino for one in sorted((folder / "store" / "features").rglob("*.npy"))}
    network(tmp_path / "two.pt", 1)
    two = PICTURES.replace('std=0.5"]', 'std=0.5", "torchscript:two.pt?size=24&mean=0.5&std=0.5"]')
    write(tmp_path, two)
    found = og.run_pipeline(path)
    assert (found.state, states(found)["audit"], states(found)["embed"]) == ("finished", "kept", "done")
    assert {one: os.stat(one).st_ino for one in shards} == shards
    assert og.open_store(folder / "store").backbones == ("one", "two")

    # A picture of the same size with other pixels; one that cannot be read.
    victim = tmp_path / "pool" / "blob" / "001.bmp"
    pixels = bytearray(victim.read_bytes())
    pixels[-600:] = bytes(600)
    victim.write_bytes(bytes(pixels))
    before = np.array(og.open_store(folder / "store").features("one"), dtype=np.float32)
    found = og.run_pipeline(path)
    assert "pool changed (001.bmp)" in why(found, "embed")
    assert {"audit", "embed"} <= set(found.ran)
    after = np.array(og.open_store(folder / "store").features("one"), dtype=np.float32)
    assert np.flatnonzero((before != after).any(axis=1)).size == 1
    (tmp_path / "pool" / "ring" / "002.bmp").write_bytes(b"BM no picture")
    write(tmp_path, two + "[gates]\nunusable = 0.0\n")
    found = og.run_pipeline(path)
    assert found.state == "stopped"
    assert "1 of 90 items cannot be used" in found.message
    found = og.run_pipeline(path, force=["unusable"])
    assert found.state == "finished"
    assert [entry["step"] for entry in found.ledger["forced"]] == ["audit", "embed", "audit_features"]

    # No picture is so small: what counts as unreadable has changed.
    write(tmp_path, two.replace("[test]", "max_pixels = 100\n[test]"))
    with pytest.raises(og.BadData, match="90 of 90|pixels"):
        og.run_pipeline(path, until="embed", force=["unusable"])
    write(tmp_path, two)

    # Other weights in the same file: the store is begun anew.
    network(tmp_path / "two.pt", 2)
    assert "backbones changed" in why(og.run_pipeline(path, force=["unusable"]), "embed")


OWN = """
[pool]
source = "pool"
[pretrain]
method = "simclr"
encoder = "resnet-tiny"
epochs = 1
size = 24
[test]
source = "test"
[audit]
pictures = false
features = false
[embed]
workers = 0
[select]
budget = 12
[adapt]
method = "finetune"
recipe = "lp_ft"
steps = 6
folds = 2
[evaluate]
repeats = 3
curve = [1.0]
[gates]
majority = "off"
"""


@pytest.mark.slow  # trains: a minute on one busy core
@pytest.mark.parametrize("method", ["finetune", "masks"])
def test_pretrained_and_adapted(tmp_path, monkeypatch, method):
    """A backbone from the pool's pictures, then adapted, and used whatever the verdict says."""
    pytest.importorskip("torch")
    home = importlib.import_module(f"oneglance.pipeline.methods.{method}")
    pictures(tmp_path / "pool", 48, 0)
    pictures(tmp_path / "test", 15, 1)
    path = write(tmp_path, OWN, ('method = "finetune"', f'method = "{method}"\nepochs = 1'))
    if method == "finetune":
        monkeypatch.setattr(home, "finetune", functools.partial(home.finetune, roll_back=False, repeats=1))
    else:
        plain = home._train
        monkeypatch.setattr(home, "_train", lambda *args: plain(*args) | {"go": True})
    found = to_the_end(path)
    told = {name: og_record(found.folder, name)["summary"] for name in ("pretrain", "adapt", "evaluate")}
    assert told["pretrain"]["n_pictures"] == 48
    assert found.ledger["steps"]["adapt"]["stored"] > 0
    place = {"finetune": "finetuned", "masks": "masks"}[method]
    adapted = told["adapt"]
    if method == "finetune":
        assert adapted["compared"]["tuned"][0]["recipe"] == "lp_ft"
        assert told["evaluate"]["curve_of"] == "frozen backbones"
        assert adapted["store"].startswith(place)
    assert set(adapted["compared"]) >= {"frozen"}
    store = og.open_store(found.folder / adapted["store"])
    assert store.backbones == ("pretrained",)
    frozen, other = (
        np.array(og.open_store(folder).features("pretrained"), dtype=np.float32)
        for folder in (found.folder / "store", next((found.folder / place).glob("*/store")))
    )
    assert not np.array_equal(frozen, other)
    assert og.run_pipeline(path).ran == ()
    monkeypatch.undo()
    write(tmp_path, path.read_text(encoding="utf-8"), (f'method = "{method}"', 'method = "heads"'))
    found = og.run_pipeline(path)
    assert found.ran == ("adapt", "evaluate")
    assert not list((found.folder / place).glob("*")), "what the other method left is cleared away"


def test_a_network_called_like_a_folder_of_the_run(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from oneglance.features import Backbone, Preprocess
    from oneglance.features.encoders import build_encoder, choose_shape
    from oneglance.features.saved import backbone_files

    home = importlib.import_module("oneglance.pipeline.methods.finetune")
    monkeypatch.setattr(home, "finetune", functools.partial(home.finetune, roll_back=False, repeats=1))
    pictures(tmp_path / "pool", 36, 0)
    (tmp_path / "store").mkdir()
    network = Backbone(build_encoder(choose_shape("resnet-tiny", (24, 24))), Preprocess(24))
    for name, content in backbone_files(network, {}).items():
        (tmp_path / "store" / name).write_bytes(content)
    text = OWN.partition("[pretrain]")[0] + 'backbones = ["store"]\n[audit]' + OWN.partition("[audit]")[2]
    path = write(tmp_path, text, ("steps = 6", "steps = 1"), ("[select]", '[select]\nstrategy = "random"'))
    found = to_the_end(path)
    adapted = og_record(found.folder, "adapt")["summary"]
    assert adapted["heads_folder"].startswith("finetuned/")
    assert adapted["notes"][-1].startswith("Tuned networks and their heads count all labels alike")
    heads, store = (found.folder / adapted[name] for name in ("heads_folder", "store"))
    assert og.load_heads(heads).predict_ensemble(store).size == 36
    assert og.run_pipeline(path).ran == ()
    next(found.folder.glob("finetuned/*/networks/store/weights.pt")).unlink()
    again = og.run_pipeline(path)
    assert "weights.pt is missing" in why(again, "adapt")
    assert og_record(found.folder, "adapt")["summary"] == adapted
    monkeypatch.setattr(home, "finetune", lambda *_, **__: pytest.fail("tuned again"))
    for old, new in (("[evaluate]", "[evaluate]\nlevel = 0.9"), ("steps = 1", 'steps = 1\nhead = "nearest_mean"')):
        write(tmp_path, path.read_text(encoding="utf-8"), (old, new))
        assert "adapt" in og.run_pipeline(path).ran, "heads are fitted anew, networks are kept"


def og_record(folder, step):
    return json.loads((folder / "steps" / f"{step}.json").read_text(encoding="utf-8"))


# --- broken off


SLOW = """
import sys, time
import oneglance.pipeline.steps.evaluate as home
from oneglance.cli.main import main
plain = home._repetition
def slow(trial, repeat):
    if repeat:
        time.sleep(30)
    return plain(trial, repeat)
home._repetition = slow
sys.argv = ["oneglance", "run", sys.argv[1]]
main()
"""


def started(path, code=SLOW):
    return subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for(condition, process):
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline, "the run got nowhere"
        time.sleep(0.02)


def undisturbed(place):
    """The summary of evaluate of a run that nothing broke off, elsewhere."""
    other = place.parent / "other"
    other.mkdir()
    for name in ("pool.npz", "test.npz"):
        (other / name).write_bytes((place.parent / name).read_bytes())
    path = write(other, place.read_text(encoding="utf-8"))
    found = to_the_end(path)
    return json.loads((found.folder / "steps" / "evaluate.json").read_text(encoding="utf-8"))["summary"]


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_killed_or_stopped_goes_on(place, stop):
    og.run_pipeline(place)
    answer(place)
    folder = place.parent / "pipeline.run"
    with started(place) as process:
        wait_for(lambda: list(folder.glob("evaluate/*/repeat-0.json")), process)
        with pytest.raises(og.StoreError, match=f"being written by another run .process {process.pid}"):
            og.run_pipeline(place)
        process.send_signal(stop)
        message = process.stderr.read().decode()
        code = process.wait()
    killed = stop == signal.SIGKILL
    assert code == (-signal.SIGKILL if killed else 4)
    assert killed or "interrupted; run the same command again to go on." in message
    (cell,) = folder.glob("evaluate/*/repeat-0.json")
    kept = os.stat(cell).st_ino
    assert (folder / ".lock").exists() == killed, "a killed run leaves its lock behind, which holds nobody up"
    assert og.run_pipeline(place, dry_run=True).message == "next: evaluate"
    found = og.run_pipeline(place)
    assert (found.state, found.ran) == ("finished", ("evaluate",))
    assert os.stat(cell).st_ino == kept, "a finished part was done again"
    assert ("evaluate", "killed" if killed else "interrupted") in events(place)
    assert found.ledger["steps"]["evaluate"]["runs"] == 2
    summary = json.loads((folder / "steps" / "evaluate.json").read_text(encoding="utf-8"))["summary"]
    assert summary == undisturbed(place)


@pytest.mark.parametrize("name", ["record", "select", "report"])
def test_a_full_disk_leaves_a_state_to_go_on_from(place, monkeypatch, name):
    import errno

    from oneglance.store.files import explain_os_error

    home = importlib.import_module({"record": "oneglance.pipeline.record", "report": "oneglance.pipeline.report",
                                    "select": "oneglance.pipeline.steps.select"}[name])  # fmt: skip

    def full(path, parts):
        raise explain_os_error(OSError(errno.ENOSPC, "no space"), Path(path), 10)

    monkeypatch.setattr(home, "write_atomic", full)
    with pytest.raises(og.StoreError, match="disk full while writing"):
        og.run_pipeline(place)
    monkeypatch.undo()
    assert to_the_end(place).ledger["labels"] == 20


def test_a_full_disk_for_the_ledger_itself(place, monkeypatch):
    from oneglance.pipeline.ledger import Ledger

    def full(self, step, event, cost=None, **more):
        raise og.StoreError("disk full while writing ledger.jsonl")

    monkeypatch.setattr(Ledger, "add", full)
    with pytest.raises(og.StoreError, match="disk full"):
        og.run_pipeline(place)
    monkeypatch.undo()
    og.run_pipeline(place)
    assert events(place)[0] == ("embed", "killed"), "what was spent is booked by the next run"


def test_a_step_that_fails_is_told_and_done_again(place, monkeypatch):
    import oneglance.pipeline.steps.select as home

    monkeypatch.setattr(home, "write_run", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        og.run_pipeline(place)
    monkeypatch.undo()
    assert ("select", "failed") in events(place)
    found = og.run_pipeline(place)
    assert why(found, "select") == "an earlier run of it was broken off"


def test_somebody_elses_folder_is_left_alone(place):
    folder = place.parent / "pipeline.run"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(og.InvalidInput, match="was not made by `oneglance run`"):
        og.run_pipeline(place)
    assert [one.name for one in folder.iterdir()] == ["thesis.txt"]


# --- the command


def test_the_command(place, monkeypatch):
    monkeypatch.chdir(place.parent)
    out, _ = oneglance("run", "--dry-run")
    assert "next: embed" in out
    assert "150 items, 7.2 kB on disk" in out
    assert not (place.parent / "pipeline.run").exists(), "a dry run writes nothing"
    out, err = oneglance("run", code=5)
    assert "20 of 20 picks have no label yet" in out
    assert "embed: runs, never run" in err
    out, _ = oneglance("run", "--status")
    assert "waiting" in out
    assert re.search(r"^audit +left out", out, re.M)
    answer(place)
    out, _ = oneglance("run", "--json")
    told = json.loads(out)
    assert told["state"] == "finished"
    assert told["ledger"]["total"]["wall_s"] > 0
    write(place.parent, TOML + "[gates]\ninterval = 0.0\n")
    out, err = oneglance("run", code=6)
    assert "gate interval (evaluate): no-go" in out
    out, _ = oneglance("run", "--force", "interval")
    assert "gate interval (evaluate): forced" in out
    before = sorted((path, path.stat().st_mtime_ns) for path in place.parent.rglob("*"))
    oneglance("run", "--status")
    oneglance("run", "--dry-run")
    assert sorted((path, path.stat().st_mtime_ns) for path in place.parent.rglob("*")) == before


def test_the_report_alone(place):
    _, err = oneglance("report", place, code=2)
    assert "no step is done yet" in err
    found = to_the_end(place)
    html = found.folder / "report.html"
    html.unlink()
    write(place.parent, TOML + '[pipeline]\ntitle = "Steel & <b>"\n')
    out, _ = oneglance("report", place)
    assert str(html) in out
    assert "<h1>Steel &amp; &lt;b&gt;</h1>" in html.read_text(encoding="utf-8")
    assert og.run_pipeline(place).ran == ()


def test_init(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out, _ = oneglance("run", "--init")
    assert "pipeline.toml" in out
    _, err = oneglance("run", "--init", code=2)
    assert "is there already" in err
    _, err = oneglance("run", code=2)
    assert "photos" in err
    _, err = oneglance("run", "none.toml", code=2)
    assert "oneglance run none.toml --init" in err
    _, err = oneglance("run", "--init", "--status", code=2)
    assert "exclude each other" in err
