"""A pipeline whose labels come back in parts, from several people, wrong, or too early."""

import csv

import numpy as np
import pytest
from pipeline_pool import CLASSES, TOML, answer, listed, og_record, why, write

import oneglance as og

pytest.importorskip("safetensors", reason="the step adapt saves heads")


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
