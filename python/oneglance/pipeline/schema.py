"""Every key of pipeline.toml: what it is, its default, and what it is for. Template, checks and docs come from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..adapt.head import HEADS, SCALES
from ..auditing.run import HAMMING, LEAST_PERMUTATIONS, NEAR, PERMUTATIONS, SAMPLE_ROWS
from ..features.pictures import MAX_PIXELS
from ..strategies import strategy_names

METHODS = ("heads", "masks", "finetune")
"""Ways to adapt; oneglance.pipeline.methods has a file for each."""

PRETRAIN_METHODS = ("mae", "mae-ct", "swav", "simclr", "nnclr")

KINDS = {
    "text": "a text",
    "texts": "a text, or a list of texts",
    "path": "a path",
    "paths": "a path, or a list of paths",
    "file": "the path of a file",
    "files": "the path of a file, or a list of them",
    "whole": "a whole number",
    "number": "a number",
    "share": "a number between 0 and 1",
    "part": "a number above 0, up to 1",
    "level": "a number from 0.5 to below 1",
    "switch": "true or false",
    "budget": 'a count like 500, or a percentage up to 100 like "2%", more than 0',
    "column": "the name of a column, the path of a list file with item_id and label, or FILE.npz:ARRAY",
    "counts": "a list of whole numbers",
    "shares": "a list of numbers between 0 and 1",
    "parts": "a list of numbers above 0, up to 1",
    "penalties": "a list of numbers above 0",
    "numbers": "a list of numbers",
    "table": "a table of names and values",
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    kind      of KINDS              default  None: not set           choices  where only these texts are known
    example   what the template shows where there is no default      least    smallest number allowed
    needed    must be there         free     does not change the result, only how it is computed
    """

    kind: str
    default: Any
    what: str
    choices: tuple[str, ...] = ()
    example: Any = None
    least: float | None = None
    needed: bool = False
    free: bool = False


SECTIONS: Mapping[str, str] = {
    "pipeline": "Where the run lives. Paths are relative to this file.",
    "pool": "What there is to label.",
    "test": "A labelled test set of its own, if there is one: searched for leakage, and the judge of the result.",
    "audit": "What is wrong with the pool, before anybody labels it.",
    "pretrain": "Optional: a backbone trained on the pool's own pictures, without labels, beside the others.",
    "embed": "Frozen backbones over the pool, once.",
    "select": "What to label.",
    "labels": "The run stops here until they are back.",
    "costs": "For the ledger.",
    "adapt": "From the labels to a model.",
    "evaluate": "How good it is.",
    "sensitivity": "Optional: the same with smaller and with corrupted pools. Needs labels of the whole pool.",
    "gates": "Where the run stops, unless it is told to go on (--force GATE). Leave a key out for its default; "
    '"off" switches a gate off.',
}

KEYS: Mapping[str, Mapping[str, Key]] = {
    "pipeline": {
        "out": Key("path", None, "folder of the run; by default this file's name with .run", example="photos.run"),
        "title": Key("text", "", "what the report is called", free=True),
        "seed": Key("whole", 0, "of everything random", least=0),
    },
    "pool": {
        "source": Key("paths", None, "folder of pictures, list file, ready vectors, or a store", example="photos/",
                      needed=True),
        "backbones": Key("texts", (), "KIND:NAME as for `oneglance embed`; none for ready vectors and stores",
                         example=["torchscript:net.pt?size=128"]),
        "path_column": Key("text", None, "of a list file: the column of paths", example="file"),
        "id_column": Key("text", None, "of unique ids", example="name"),
        "label_column": Key("text", None, "of labels to judge a trial by; those that count come back in files",
                            example="class"),
        "stratum_column": Key("text", None, "of strata", example="camera"),
        "group_column": Key("text", None, "of groups (scene, patient)", example="patient"),
        "vector_columns": Key("texts", (), "arrays of an .npz, or list columns", example=["X_train"]),
        "max_pixels": Key("whole", MAX_PIXELS, "larger pictures count as unreadable", least=1),
    },
    "test": {
        "source": Key("paths", None, "as source of the pool", example="test/"),
        "labels": Key("column", "label", "the classes: a column of it, a list file, or FILE.npz:ARRAY"),
        "vector_columns": Key("texts", (), "as above", example=["X_test"]),
    },
    "audit": {
        "pictures": Key("switch", True, "look at the pictures", free=True),
        "features": Key("switch", True, "look at the features, once they are there", free=True),
        "leave_out": Key("switch", True, "what cannot be used, and all but one of each group of duplicates", free=True),
        "near": Key("number", NEAR, "least cosine of near duplicates", least=0),
        "hamming": Key("whole", HAMMING, "most different bits, of 64, of look-alikes", least=0),
        "clusters": Key("whole", None, "for imbalance; by default as many as the silhouette finds", example=20,
                        least=1),
        "permutations": Key("whole", PERMUTATIONS, "of the kernel test of shift", least=LEAST_PERMUTATIONS),
        "sample_rows": Key("whole", SAMPLE_ROWS, "most rows of either pool in tests of shift", least=100),
        "workers": Key("whole", None, "decoding processes", example=4, least=0, free=True),
    },
    "pretrain": {
        "method": Key("text", None, "without, this step is left out", PRETRAIN_METHODS, example="mae-ct"),
        "encoder": Key("text", "auto", "vit or resnet, with or without a size: vit-tiny, resnet-small, ..."),
        "start": Key("text", None, "go on from this backbone instead", example="timm:resnet18=weights.pth"),
        "epochs": Key("whole", None, "readings of the pictures", example=100, least=1),
        "size": Key("whole", None, "side of the pictures", example=64, least=8),
        "batch_size": Key("whole", None, "pictures per step", example=64, least=2),
        "n_classes": Key("whole", None, "roughly how many there are, if you know", example=10, least=1),
    },
    "embed": {
        "batch_size": Key("whole", 32, "pictures per forward pass", least=1, free=True),
        "workers": Key("whole", None, "decoding processes", example=4, least=0, free=True),
        "device": Key("text", "auto", "auto, cpu, cuda, cuda:1, ...", free=True),
        "compute": Key("text", "auto", "arithmetic of the forward pass",
                       ("auto", "float32", "bfloat16", "float16")),
        "dtype": Key("text", "auto", "how features are kept", ("auto", "float16", "float32")),
        "patterns": Key("switch", False, "local features as well (strategy freesel)"),
        "shard_rows": Key("whole", None, "rows per shard, the unit of resumption", example=1024, least=1, free=True),
        "max_bad_fraction": Key("share", 0.1, "items that may be unusable before embedding stops", free=True),
    },
    "select": {
        "budget": Key("budget", None, "how many labels in all, those that are there included", example=200,
                      needed=True),
        "strategy": Key("text", "auto", "see docs/strategies.md", strategy_names()),
        "params": Key("table", {}, "the strategy's own parameters, such as { width = 0.5 } of kernel", example={}),
        "backbones": Key("texts", (), "names of those to use, all by default", example=["net"]),
        "labelled": Key("file", None, "items labelled already elsewhere: never picked", example="done.csv"),
        "exclude": Key("file", None, "items to leave out", example="blurred.csv"),
        "strata": Key("column", None, "spread the budget over strata", example="stratum"),
        "quotas": Key("table", {}, "fixed counts for some strata", example={"night": 50}),
        "groups": Key("text", None, "column of groups: at most per_group picks of each", example="group"),
        "per_group": Key("whole", 1, "see groups", least=1),
        "dedup": Key("number", None, "drop near-duplicates below this cosine distance first (one backbone)",
                     example=0.05, least=0),
    },
    "labels": {
        "file": Key("files", None, "where they come back, by default labels.csv in the folder of the run; to_label.csv "
                    "there, filled in, will do", example="labels.csv"),
        "least": Key("share", 1.0, "of the picks that must be answered before the run goes on"),
        "unknown": Key("text", "?", "the answer for: I cannot tell. It counts as answered and gives no label"),
    },
    "costs": {
        "seconds_per_label": Key("number", None, "work of one answer", example=6, least=0, free=True),
        "price_per_label": Key("number", None, "beside that work", example=0.05, least=0, free=True),
        "price_per_hour": Key("number", None, "of the people who label", example=30, least=0, free=True),
        "price_per_cpu_hour": Key("number", None, "of a core", example=0.04, least=0, free=True),
        "price_per_gpu_hour": Key("number", None, "of a GPU", example=2.5, least=0, free=True),
        "currency": Key("text", "EUR", "of the prices", free=True),
    },
    "adapt": {
        "method": Key("text", "heads", "heads: on frozen backbones; masks: adapted without labels first; finetune: "
                      "tuned on the labels; kept where that helps", METHODS),
        "weights": Key("text", "auto", "of the picks in the loss; auto: the selection's where it is lewis or random "
                       "and every label is one of its picks, else equal", ("auto", "selection", "equal")),
        "head": Key("text", "linear", "kind of head", HEADS),
        "scale": Key("text", "normalise", "of the rows", SCALES),
        "lambdas": Key("penalties", None, "penalties to choose from", example=[1e-3, 1e-4]),
        "folds": Key("whole", 5, "of the cross-validation that judges, and of the choice of penalties", least=2),
        "classes": Key("texts", (), "all classes, where some may get no label", example=["good", "bad"]),
        "epochs": Key("whole", None, "of the training of masks", example=20, least=1),
        "tensors": Key("texts", "auto", "masks: which weights"),
        "recipe": Key("texts", "auto", "finetune: auto, all, or names of recipes"),
        "steps": Key("whole", None, "of one training of finetune", example=200, least=1),
    },
    "evaluate": {
        "labels": Key("column", None, "labels of the whole pool, if they are known (a trial): judge on items that "
                      "were not labelled, and beside random picks", example="label"),
        "curve": Key("parts", (0.1, 0.25, 0.5, 0.75, 1.0), "nested parts of the labels of the learning curve"),
        "repeats": Key("whole", 10, "orders of the labels, and draws of random picks", least=3),
        "level": Key("level", 0.95, "of the intervals"),
    },
    "sensitivity": {
        "labels": Key("column", None, "labels of the whole pool; without, this step is left out", example="label"),
        "pool_shares": Key("parts", (0.1, 0.25, 0.5), "parts of the pool to choose from"),
        "corruption": Key("shares", (0.1, 0.3, 0.5), "shares of the pool whose features get noise"),
        "noise": Key("number", 1.0, "its standard deviation, in those of every feature", least=0),
        "repeats": Key("whole", 5, "seeds", least=3),
        "test_share": Key("share", 0.2, "of the pool held out, without a test set of its own"),
    },
    "gates": {
        "unusable": Key("share", 0.1, "most items that cannot be used"),
        "duplicates": Key("share", 0.5, "most items that only repeat others"),
        "leakage": Key("share", 0.0, "most test items that are in the pool"),
        "collapse": Key("whole", 0, "most backbones whose features have collapsed", least=0),
        "certificate": Key("switch", True, "the selection's computation has converged"),
        "classes": Key("whole", 2, "least classes among the labels", least=2),
        "per_class": Key("whole", 1, "least labels of the rarest class", least=1),
        "majority": Key("number", 0.0, "by how much the head must surely beat naming the largest class "
                        "(cross-validation, lower end of the interval)"),
        "accuracy": Key("share", None, "least accuracy that is sure (lower end of the interval)", example=0.8),
        "interval": Key("share", None, "most width of that interval", example=0.1),
    },
}  # fmt: skip
