"""Gates of a pipeline, and trials in which all labels are known."""

import hashlib
import json

import numpy as np
import pytest
from pipeline_pool import CLASSES, TOML, N, answer, listed, states, to_the_end, vectors, write

import oneglance as og

pytest.importorskip("safetensors", reason="the step adapt saves heads")


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
