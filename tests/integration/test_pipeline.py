"""A pipeline as its user meets it: the way through, and what runs again, and why."""

import json
import os
import shutil

import numpy as np
import pytest
from command_line import run as oneglance
from pipeline_pool import CLASSES, TOML, N, answer, listed, og_record, states, to_the_end, vectors, why, write

import oneglance as og

pytest.importorskip("safetensors", reason="the step adapt saves heads")


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
