"""`oneglance quickstart`: real pictures, three backbones trained on the spot, a selection and its worth."""

from __future__ import annotations

import json as json_module
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .output import fitted, print_json, print_table

if TYPE_CHECKING:
    from ..evaluation import Comparison, Split
    from ..store import FeatureStore

_POOL_SIZE = 1198
_NEXT = """\
   Now with your own pictures (sub-folders are taken as classes, and are not needed):
     oneglance embed my_pictures/ --backbone torchvision:resnet18=resnet18.pth --out my_store
     oneglance weights my_store
     oneglance select my_store --budget 500 --out my_selection
   Nothing is ever downloaded: resnet18.pth is a file of weights that you have; `oneglance embed --help`."""


def _budgets(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        budgets = tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"must be whole numbers like 50,150; got {value!r}.") from None
    if len(set(budgets)) < len(budgets) or min(budgets) < 10 or max(budgets) > _POOL_SIZE:
        raise click.BadParameter(f"must be different numbers in 10..{_POOL_SIZE}; got {value!r}.")
    return tuple(sorted(budgets))


@click.command(short_help="See what a selection is worth, in a minute.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("oneglance-quickstart"),
    show_default=True,
    help="Folder for everything it writes.",
)
@click.option("--budgets", callback=_budgets, default="50,150", show_default=True, help="How many to label.")
@click.option(
    "--seeds",
    type=click.IntRange(3, 1000),
    default=100,
    show_default=True,
    help="Repetitions of every strategy. With 20, differences under 0.02 in accuracy drown in chance.",
)
@click.option("--seed", type=click.IntRange(0, 2**31), default=0, show_default=True, help="The first seed.")
@click.option("--epochs", type=click.IntRange(0, 1000), default=40, show_default=True, help="Training passes.")
@click.option("--json", is_flag=True, help="Print summary.json on stdout; progress goes to stderr.")
def quickstart(out: Path, budgets: tuple[int, ...], seeds: int, seed: int, epochs: int, json: bool) -> None:
    """See what a selection is worth, on 1,797 scanned digits, in a minute and without a download.

    Trains three small Torch backbones without labels, embeds the pictures, computes certified Lewis weights,
    selects at each budget, and compares heads fitted on the picked labels with random picks and k-means.
    Running it again goes on where it stopped, or reuses what is there. Same seed, machine and packages: same
    numbers. Not promised across machines, which may train slightly different backbones.
    """
    from ..evaluation.digits import load_packages
    from ..evaluation.threads import one_thread

    load_packages()
    with one_thread():  # of the libraries loaded just now; everything here is small
        summary = Quickstart(out, budgets, seeds, seed, epochs, json).run()
    if json:
        print_json(summary)


class Quickstart:
    """The steps in order, each telling what it does while it does it."""

    def __init__(self, out: Path, budgets: Sequence[int], n_seeds: int, seed: int, epochs: int, json: bool) -> None:
        self.out, self.json = out, json
        self.budgets, self.seeds = list(budgets), list(range(seed, seed + n_seeds))
        self.seed, self.epochs = seed, epochs
        self.started = time.perf_counter()

    def say(self, text: str = "") -> None:
        """To the person watching; stdout is kept free when it is to hold JSON."""
        stream = sys.stderr if self.json else sys.stdout
        click.echo(fitted(text, stream), file=stream)

    def step(self, text: str) -> None:
        elapsed_s = time.perf_counter() - self.started
        self.say("\n" + click.style(f"{text}  [{elapsed_s:.0f} s]", bold=True))

    def run(self) -> dict[str, Any]:
        """Everything, in order; returns what summary.json holds. Raises what its steps raise."""
        from ..evaluation.digits import write_digits
        from ..evaluation.quickstart import claim_folder, read_split

        resumed = claim_folder(self.out, seed=self.seed, epochs=self.epochs)
        self.say(f"oneglance quickstart, into {self.out}/{' (taking up what is there)' if resumed else ''}")
        self.step("1. Pictures: scanned digits that come with scikit-learn, 8 x 8 pixels")
        counts = write_digits(self.out / "pictures")
        self.say(f"   {counts['pool']:,} in pictures/pool: the pool, to choose from")
        self.say(f"   {counts['held-out']:,} in pictures/held-out: only to measure on, never seen by a selection")
        self.step("2. Three small backbones, trained here and now on the pool, without labels")
        modules = self._train()
        self.step("3. Embed: every picture through every backbone, once")
        stores = {part: self._embed(part, modules) for part in counts}
        split = read_split(stores)
        self.step("4. Select what to label: Lewis weights (p = 2) with their certificates, one selection for all")
        selections = self._select(stores["pool"])
        n_heads = len(self.budgets) * len(self.seeds) * len(modules)
        self.step(f"5. Was it worth it? {n_heads} heads per strategy, fitted on the picked labels")
        comparison = self._compare(split)
        summary = self._report(comparison, {"pictures": counts, "selections": selections})
        self._next()
        return summary

    def _train(self) -> dict[str, Any]:
        from ..evaluation.quickstart import trained_backbone
        from ..features.small import RECIPES

        modules = {}
        for name, recipe in RECIPES.items():
            trained = trained_backbone(name, self.out / "backbones", seed=self.seed, epochs=self.epochs)
            took = f"trained in {trained.elapsed_s:.1f} s" if trained.elapsed_s else "trained before"
            self.say(f"   {name:<9} {recipe.what}; {took}")
            modules[name] = trained.module
        return modules

    def _embed(self, part: str, modules: dict[str, Any]) -> FeatureStore:
        from ..evaluation.quickstart import STORES
        from ..features import Backbone, Preprocess, embed

        as_is = Preprocess(size=None, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        started = time.perf_counter()
        backbones = {name: Backbone(module, as_is) for name, module in modules.items()}
        store: FeatureStore = embed(
            self.out / "pictures" / part, backbones, self.out / STORES[part], device="cpu", workers=0
        )
        took_s = time.perf_counter() - started
        widths = ", ".join(f"{name} {store.n_items:,} x {store.n_dims(name)}" for name in store.backbones)
        self.say(f"   {STORES[part]}/: {widths}; {took_s:.1f} s")
        return store

    def _select(self, store: FeatureStore) -> list[dict[str, Any]]:
        from ..strategies import select
        from .pool_text import print_certificate
        from .run_folder import run_head, write_run

        documents: list[dict[str, Any]] = []
        for budget in self.budgets:
            chosen = select(store, budget, "lewis", seed=self.seed)
            request = {
                "command": "quickstart",
                "input_hash": store.content_hash(),
                "budget": budget,
                "strategy": chosen.strategy,
                "params": chosen.params,
                "seed": self.seed,
            }
            folder = self.out / f"selected-{budget}"
            if not documents and not self.json:
                print_certificate(chosen.certificate)
                self.say("   T near the bound: the backbones have nothing in common; near its third: they agree.")
                self.say("   kappa: overlap of each backbone's heaviest tenth with the common one.")
            documents.append({"folder": folder.name, **write_run(folder, run_head(request), chosen)})
            first = ", ".join(map(str, chosen.ids[:3]))
            self.say(f"   {budget} pictures -> {folder.name}/selected.csv; the first: {first}")
        return documents

    def _compare(self, split: Split) -> Comparison:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        from ..evaluation import compare
        from ..evaluation.quickstart import quickstart_pickers

        console = Console(stderr=True)
        columns = (TextColumn("   selecting and fitting"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("compare", total=None)
            return compare(
                split,
                quickstart_pickers(),
                self.budgets,
                self.seeds,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )

    def _report(self, comparison: Comparison, found: dict[str, Any]) -> dict[str, Any]:
        """Table, sentences, plot and files."""
        import pyarrow as pa

        from ..evaluation.plot import plot_comparison
        from ..evaluation.quickstart import (
            NAMES,
            PLOTTED,
            conclusions,
            score_tables,
            summary_rows,
            write_text,
        )
        from ..strategies.result import write_table

        if not self.json:
            wide = not sys.stdout.isatty() or shutil.get_terminal_size().columns >= 100
            for title, header, rows in score_tables(comparison, wide=wide):
                print_table(header, rows, title)
                self.say()
        self.say(f"   Means over {len(self.seeds)} seeds and the heads, bootstrap over seeds in pairs; each")
        self.say("   interval is 95 % by itself: of twenty verdicts, about one is wrong by chance.")
        sentences = conclusions(comparison)
        for sentence in sentences:
            self.say(textwrap.fill(sentence, 78, initial_indent="   ", subsequent_indent="      "))
        self.say("   Only random and Lewis picks come with a known inclusion probability (selected.csv).")
        plot_comparison(
            comparison,
            self.out / "quickstart.png",
            names={name: NAMES[name] for name in PLOTTED},
            title=f"Which of {_POOL_SIZE:,} digits to label? One selection for three backbones",
            note=f"Mean over 3 heads and {len(self.seeds)} seeds; bars: 95 % bootstrap intervals",
        )
        write_table(pa.table(comparison.columns()), self.out / "results.parquet")
        summary = {
            "seed": self.seed,
            "seeds": len(self.seeds),
            "epochs": self.epochs,
            **found,
            "all_labels": dict(comparison.ceiling),
            "scores": summary_rows(comparison),
            "conclusions": sentences,
            "elapsed_s": round(time.perf_counter() - self.started, 2),
        }
        write_text(self.out / "summary.json", json_module.dumps(summary, indent=2) + "\n")
        return summary

    def _next(self) -> None:
        self.step("Done. Look at " + str(self.out / "quickstart.png"))
        self.say(_NEXT)
