"""`oneglance adapt finetune` as a user meets it: labels in, a backbone for embed and heads for predict out."""

import csv
import json
import os
import signal

import pytest

torch = pytest.importorskip("torch", reason="fine-tuning needs torch")

from command_line import run  # noqa: E402
from PIL import Image  # noqa: E402

import oneglance as og  # noqa: E402

BACKBONE = "timm:test_resnet=random?size=32"
FAST = ("--steps", 3, "--folds", 3, "--repeats", 1, "--device", "cpu", "--workers", 1, "--progress", "none")


@pytest.fixture
def folder(tmp_path, make_pictures, torchvision):
    pytest.importorskip("timm", reason="a small network by name")
    for number, name in enumerate(("cats", "dogs")):
        make_pictures(tmp_path / "pool" / name, 9, size=32, seed=number)
    return tmp_path / "pool"


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "done.csv"
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["item_id", "label"])
        rows.writerows([f"{name}/{i:03d}.png", name] for name in ("cats", "dogs") for i in range(8))
        rows.writerow(["cats/008.png", ""])
    return path


@pytest.mark.parametrize("keep", [False, True])
def test_labels_to_predictions(folder, labels, tmp_path, keep):
    out, store = tmp_path / "tuned", tmp_path / "store"
    asked = ("--labels", labels, "--recipe", "wise_ft", "--alphas", "0.5", *(("--no-roll-back",) if keep else ()))
    text, _ = run("adapt", "finetune", folder, "-b", BACKBONE, "--out", out, *asked, *FAST)
    assert "against the probe" in text
    assert ("Kept as asked for" in text) == keep or "is better than" in text
    report = json.loads((out / "report.json").read_text())
    assert report["recipe"] == ("wise_ft" if keep else report["recipe"])
    assert report["labels"] == {"cats": 8, "dogs": 8}
    run("embed", folder, "-b", out, "--out", store, "--device", "cpu", "--progress", "none")
    found, _ = run("adapt", "predict", store, "--heads", out, "--out", tmp_path / "p.csv", "--json")
    assert json.loads(found)["n_items"] == 18  # the head accepts the store: hashes agree
    with open(tmp_path / "p.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    pictures = [Image.open(folder / row["item_id"]) for row in rows]
    assert [row["prediction"] for row in rows] == og.load_finetuned(out).predict(pictures).tolist()
    for picture in pictures:
        picture.close()
    other = tmp_path / "other"
    run("embed", folder, "-b", f"{BACKBONE}&seed=5&name=tuned", "--out", other, "--device", "cpu", "--progress", "none")
    _, err = run("adapt", "predict", other, "--heads", out, "--out", tmp_path / "q.csv", code=2)
    assert "is another one than its head was fitted on" in err
    _, err = run("adapt", "finetune", folder, "-b", BACKBONE, "--out", out, *asked, *FAST, code=2)
    assert "holds report.json already" in err
    found, _ = run("adapt", "finetune", folder, "-b", BACKBONE, "--out", out, *asked, *FAST, "--overwrite", "--json")
    again = json.loads(found)
    assert again["scores"] == report["scores"]
    assert again["trainings"] == 3  # probes; outputs of trainings were there


def test_plan_and_mistakes(folder, labels, tmp_path):
    asked = ("adapt", "finetune", folder, "-b", BACKBONE)
    text, _ = run(*asked, "--labels", labels, "--dry-run")
    assert "recipes    probe, adabn, wise_ft" in text
    assert "few, and fewer than 100 pictures to adapt to, so WiSE-FT" in text
    found, _ = run(*asked, "--labels", "label", "--recipe", "lp_ft,bitfit", "--counts", "4,6", "--dry-run", "--json")
    plan = json.loads(found)["plan"]
    assert plan["recipes"] == ["probe", "lp_ft", "bitfit"]
    assert plan["labels"] == 18
    assert not (tmp_path / "finetuned").exists()
    _, err = run(*asked, "--labels", "nowhere.csv", "--dry-run", code=2)
    assert "--labels: 'nowhere.csv' is neither" in err
    _, err = run(*asked, "--labels", labels, "--recipe", "wise", "--dry-run", code=2)
    assert "recipe 'wise' is unknown" in err
    _, err = run(*asked, "--labels", labels, "--lr", "fast", code=2)
    assert "must be numbers with commas between them" in err
    strange = tmp_path / "strange.csv"
    strange.write_text("item_id,label\ncats/000.png,a\nbirds/1.png,b\n")
    _, err = run(*asked, "--labels", strange, code=2)
    assert "labels: no picture 'birds/1.png' in image folder pool" in err
    strange.write_text("item_id,label\ncats/000.png,a\ndogs/001.png,b\ncats/000.png,b\n")
    _, err = run(*asked, "--labels", strange, "--dry-run", code=2)
    assert "gives 'cats/000.png' the labels 'a' and 'b'. Keep one of the rows." in err
    strange.write_text("item_id,label\ncats/000.png,a\ndogs/001.png,b \ncats/000.png,a\ndogs/002.png,b\n")
    assert json.loads(run(*asked, "--labels", strange, "--dry-run", "--json")[0])["plan"]["classes"] == ["a", "b"]
    strange.write_text("item_id,label\ncats/000.png,a\ndogs/001.png,a\n")
    _, err = run(*asked, "--labels", strange, code=2)
    assert "labels hold one class only" in err


def test_groups_of_a_list_are_held_out_together(folder, tmp_path):
    places = [(name, i) for name in ("cats", "dogs") for i in range(9)]
    rows = [(f"{name}/{i:03d}.png", "ab"[i // 3 % 2], f"{name} {i // 3}") for name, i in places]
    with open(folder / "list.csv", "w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "scene"), *rows])
    asked = ("adapt", "finetune", folder / "list.csv", "-b", BACKBONE, "--labels", "label", "--label-column", "label")
    found, _ = run(*asked, "--group-column", "scene", "--dry-run", "--json")
    assert json.loads(found)["plan"]["notes"][0] == "18 labels are of 6 groups, which are held out as wholes."
    assert json.loads(run(*asked, "--dry-run", "--json")[0])["plan"]["notes"] == []
    run(*asked, "--group-column", "scene", "--recipe", "probe", "--out", tmp_path / "t", *FAST)
    assert "6 groups" in json.loads((tmp_path / "t" / "report.json").read_text())["notes"][0]


@pytest.mark.parametrize("verb", ["finetune", "adapt_masks"])
def test_larger_pictures_than_allowed_are_told(folder, verb):
    """As embed and the audit of a pipeline count them."""
    with pytest.raises(og.InvalidInput, match="none of the 18 pictures can be used.* pixels"):
        getattr(og, verb)(BACKBONE, folder, labels="label", max_pixels=100, device="cpu", workers=1)


def test_unreadable_labelled_pictures_are_named(folder, labels, tmp_path):
    (folder / "dogs" / "003.png").write_bytes(b"")
    out = tmp_path / "t"
    _, err = run(
        "adapt", "finetune", folder, "-b", BACKBONE, "--out", out, "--labels", labels, "--recipe", "probe", *FAST
    )
    assert "1 labelled pictures cannot be used: dogs/003.png (empty file (0 bytes))" in err
    assert json.loads((out / "report.json").read_text())["labels"] == {"cats": 8, "dogs": 7}


def test_ctrl_c_keeps_trainings_and_the_same_command_goes_on(folder, labels, tmp_path, monkeypatch):
    from oneglance.finetuning import trials

    out = tmp_path / "t"
    command = ("adapt", "finetune", folder, "-b", BACKBONE, "--labels", labels, "--recipe", "bitfit", *FAST)
    write = trials.write_outputs

    def interrupted(path, outputs):
        write(path, outputs)
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(trials, "write_outputs", interrupted)
        _, err = run(*command, "--out", out, code=4)
    assert "run the same command again" in err
    assert [path.name for path in out.iterdir()] == ["cells"]
    assert len(list((out / "cells").iterdir())) == 1
    run(*command, "--out", out)
    assert len(list((out / "cells").iterdir())) == 3
    assert json.loads((out / "report.json").read_text())["trainings"] == 3 + 2
    run(*command, "--out", out, "--overwrite", "--fresh")
    assert json.loads((out / "report.json").read_text())["trainings"] == 3 + 3


def test_a_folder_that_another_run_writes_is_left_alone(folder, labels, tmp_path):
    from oneglance.store.lock import only_writer

    with only_writer(tmp_path / "busy"):
        _, err = run(
            "adapt", "finetune", folder, "-b", BACKBONE, "--out", tmp_path / "busy", "--labels", labels, *FAST, code=2
        )
        assert "busy is being written by another call" in err
    assert not (tmp_path / "busy").exists()


def test_groups_stand_in_the_labels_file_of_a_folder(folder, labels, tmp_path):
    rows = [line.split(",") for line in labels.read_text().split()]
    lines = ["item_id,label,scene", *(f"{item},{label},{item[:4]}{int(item[5:8]) // 3}" for item, label in rows[1:])]
    labels.write_text("\n".join(lines))
    asked = ("adapt", "finetune", folder, "-b", BACKBONE, "--labels", labels, "--recipe", "probe", *FAST)
    _, err = run(*asked, "--group-column", "scene", "--out", tmp_path / "a")
    assert "16 labels are of 6 groups, which are held out as wholes." in err
    _, err = run(*asked, "--group-column", "nope", "--out", tmp_path / "b", code=2)
    assert "'nope': " in err
    assert "has no columns" in err


def test_a_renamed_folder_still_predicts(folder, labels, tmp_path):
    asked = ("--labels", labels, "--recipe", "wise_ft", "--alphas", "0.5", "--no-roll-back")
    run("adapt", "finetune", folder, "-b", BACKBONE, "--out", tmp_path / "one", *asked, *FAST)
    (tmp_path / "one").rename(tmp_path / "two")
    quiet = ("--device", "cpu", "--progress", "none")
    run("embed", folder, "-b", tmp_path / "two", "--out", tmp_path / "s", *quiet)
    run("adapt", "predict", tmp_path / "s", "--heads", tmp_path / "two", "--out", tmp_path / "p.csv")
    run("embed", folder, "-b", f"{BACKBONE}&seed=5&name=two", "--out", tmp_path / "t", *quiet)
    _, err = run("adapt", "predict", tmp_path / "t", "--heads", tmp_path / "two", "--out", tmp_path / "q.csv", code=2)
    assert 'has no backbone "one"' in err
    assert '"SPEC?name=one"' in err
