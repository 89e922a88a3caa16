"""The demo: a cohort, the real server, readers at work, rounds that learn from them, and a report.

Everything between readers and server goes over HTTP; the truth lies in a folder that the server never sees.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrseg_label.config import load_settings
from mrseg_label.errors import ConfigurationError, Conflict
from mrseg_label.labels import LabelScheme
from mrseg_label.presegmentation.weights import find_weights
from mrseg_label.simulation.batch import work_batch
from mrseg_label.simulation.client import SlicerClient
from mrseg_label.simulation.cohort import import_cohort, make_cohort
from mrseg_label.simulation.held_out import fixed_set, score
from mrseg_label.simulation.pictures import draw_case, draw_curve, example_of
from mrseg_label.simulation.radiologist import CaseResult, TruthFile
from mrseg_label.simulation.report import case_row, loop_notes, round_row, source_notes, sources_part
from mrseg_label.simulation.rounds import RoundEnd, current_model, wait_for_round
from mrseg_label.simulation.server import Server
from mrseg_label.simulation.settings import fixed_settings, settings_text, stop_rounds
from mrseg_label.simulation.sources import Comparison, make_trials
from mrseg_label.simulation.watching import Watcher
from mrseg_label.workspace import Workspace

SEED = 20240510
_BOOTSTRAP = RoundEnd(0, "bootstrap", True, 0.0)


@dataclass(frozen=True)
class DemoOptions:
    """What a demo is asked for.

    Attributes
    ----------
    workspace : a new or empty folder; the cohort goes into another beside it.
    compare_sources : whether raw, inverted and equalised images are compared.
    """

    workspace: Path
    rounds: int = 2
    round_size: int = 8
    profile: str = "tiny"
    seed: int = SEED
    compare_sources: bool = True
    port: int | None = None

    @property
    def cases(self) -> int:
        """Cases that are corrected in all."""
        return (self.rounds + 1) * self.round_size

    @property
    def beside(self) -> Path:
        """Folder of the cohort and its truth."""
        root = self.workspace.resolve()
        return root.with_name(f"{root.name}-cohort")

    @property
    def reports(self) -> Path:
        """Folder of the report and the pictures."""
        return self.workspace.resolve() / "reports"


@dataclass
class _Demo:
    options: DemoOptions
    watcher: Watcher
    scheme: LabelScheme = field(default_factory=LabelScheme.default)
    rows: list[dict[str, Any]] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)
    examples: list[CaseResult] = field(default_factory=list)
    truths: dict[str, TruthFile] = field(default_factory=dict)
    held_out: list[str] = field(default_factory=list)
    drafting: str = _BOOTSTRAP.model_version

    def prepare(self) -> None:
        """Workspace, cohort, import."""
        options, watcher = self.options, self.watcher
        if options.beside.exists() and any(options.beside.iterdir()):
            raise ConfigurationError(
                f"{options.beside} is not empty; the demo's cohort goes there: remove it or choose another --workspace"
            )
        workspace = Workspace.init(options.workspace, settings_text=settings_text(options.round_size, options.profile))
        watcher.phase("making the cohort")
        cohort = make_cohort(
            options.beside,
            options.cases,
            options.seed,
            lambda done, total, name: watcher.advance(done, name, total),
        )
        watcher.phase("importing")
        self.truths = import_cohort(workspace.root, cohort, lambda done, total: watcher.advance(done, total=total))

    def loop(self, server: Server) -> None:
        """Batches of corrections, a round after each but the last."""
        with SlicerClient(server.url, "demo") as client:
            model = _BOOTSTRAP
            for number in range(self.options.rounds + 1):
                if number == self.options.rounds:
                    stop_rounds(self.options.workspace.resolve(), self.options.round_size, self.options.profile)
                started = time.monotonic()
                batch = self._batch(server, number)
                seconds = time.monotonic() - started
                # While the next round trains, its predecessor is measured on the fixed set.
                heldout = self._score_held_out(client)
                self._keep(number, batch, model, heldout, seconds)
                if number < self.options.rounds:
                    model = self._round(client, server, number + 1)
            annotated = client.get("/api/v1/progress")["annotated_total"]
            if annotated != self.options.cases:
                raise Conflict(f"{self.options.cases} cases were submitted, the server counts {annotated}")

    def _batch(self, server: Server, number: int) -> list[CaseResult]:
        title = f"readers correct drafts of {'the bootstrap' if number == 0 else f'round {number}'}"
        self.watcher.phase(title, self.options.round_size)

        def done(count: int, case: CaseResult) -> None:
            self.watcher.advance(
                count,
                f"{case.participant} {case.station}: draft DSC {case.mean_dsc:.2f}, {case.edited_voxels:,} voxels edited",
            )

        return work_batch(
            server.url, self.options.round_size, self.truths, self.scheme, self.options.seed, done, abort=server.stop
        )

    def _score_held_out(self, client: SlicerClient) -> float:
        if not self.held_out:
            self.held_out = fixed_set(client, self.truths)
        version = self.drafting
        self.watcher.phase(f"model {version} on held-out participants", len(self.held_out))
        return score(
            client, self.held_out, self.truths, self.scheme, version, lambda count: self.watcher.advance(count)
        ).mean_dsc

    def _keep(self, number: int, batch: list[CaseResult], model: RoundEnd, heldout: float, seconds: float) -> None:
        row = round_row(
            number,
            batch,
            model_version=model.model_version,
            promoted=model.promoted,
            heldout_dsc=heldout,
            training_seconds=model.seconds,
            batch_seconds=seconds,
        )
        self.rows.append(row)
        self.cases += [case_row(number, case) for case in batch]
        self.examples.append(example_of(batch))
        self.watcher.row(row)

    def _round(self, client: SlicerClient, server: Server, number: int) -> RoundEnd:
        self.watcher.phase(f"round {number} trains")
        ended = wait_for_round(
            client, number, server.check, lambda state, progress: self.watcher.round_progress(number, state, progress)
        )
        self.drafting = current_model(client)["version"]
        return ended

    def pictures(self) -> dict[str, str]:
        """Draw the first and the last batch's example and the curve."""
        self.watcher.phase("drawing", 3)
        folder = self.options.reports
        names = {"learning_curve": draw_curve(self.rows, folder / "learning-curve.png").name}
        self.watcher.advance(1)
        for count, number in enumerate(sorted({0, len(self.rows) - 1}), start=2):
            path = folder / f"case-round-{number}.png"
            names[f"case_round_{number}"] = draw_case(self.examples[number], self.scheme, path).name
            self.watcher.advance(count)
        return names


def run_demo(
    options: DemoOptions,
    watcher: Watcher | None = None,
    afterwards: Callable[[Server, dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Run the demo and return its report, which is also written to ``reports/report.json`` of the workspace.

    Parameters
    ----------
    afterwards : called with the server, which still runs, and the report.

    Raises
    ------
    ConfigurationError
        The workspace is not an empty folder.
    Unavailable, Conflict
        The server, a round or a reader failed.
    """
    started = time.monotonic()
    demo = _Demo(options, watcher or Watcher())
    with fixed_settings(), ExitStack() as stack:
        demo.prepare()
        root = options.workspace.resolve()
        comparison = _start_comparison(demo, stack) if options.compare_sources else None
        demo.watcher.phase("starting the server")
        server = stack.enter_context(Server(root, root / "logs" / "server.log", options.port))
        demo.loop(server)
        sources = {}
        if comparison is not None:
            demo.watcher.phase("comparing sources", comparison.total)
            sources = sources_part(comparison.scores())
        report: dict[str, Any] = {"sources": sources, "rounds": demo.rows}
        report["notes"] = [*loop_notes(demo.rows), *source_notes(sources)]
        report["heldout_cases"] = len(demo.held_out)
        report["pictures"] = demo.pictures()
        report["cases"] = demo.cases
        report["seconds"] = round(time.monotonic() - started, 1)
        (options.reports / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        if afterwards is not None:
            afterwards(server, report)
    return report


def _start_comparison(demo: _Demo, stack: ExitStack) -> Comparison:
    folder = demo.options.beside / "sources"
    # A small demo has a small comparison.
    trials = make_trials(folder, demo.options.seed, 2 if demo.options.round_size >= 4 else 1)
    settings = load_settings(demo.options.workspace.resolve())
    weights = find_weights(settings.totalseg_weights_path).path
    return stack.enter_context(Comparison(folder, trials, weights, settings.device))
