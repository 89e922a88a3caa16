"""Run the demo: a synthetic cohort, the real server, simulated readers, training rounds, and a report.

Readers use the server over HTTP only; the truth is in a folder that the server never sees.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrseg_label.catalog.tables import BOOTSTRAP
from mrseg_label.config import load_settings
from mrseg_label.errors import ConfigurationError, Conflict
from mrseg_label.labels import LabelScheme
from mrseg_label.presegmentation.weights import find_weights
from mrseg_label.scoring import MEAN_OF_CASES
from mrseg_label.simulation.batch import correct_batch
from mrseg_label.simulation.client import SlicerClient
from mrseg_label.simulation.cohort import import_cohort, make_cohort
from mrseg_label.simulation.held_out import HeldOutScore, choose_fixed_set, score_model
from mrseg_label.simulation.listener import DemoListener
from mrseg_label.simulation.pictures import choose_example, draw_case, draw_curve
from mrseg_label.simulation.radiologist import CaseResult, TruthFile
from mrseg_label.simulation.report import case_row, loop_notes, round_row, source_notes, sources_part
from mrseg_label.simulation.rounds import FinishedRound, current_model, wait_for_round
from mrseg_label.simulation.server import Server
from mrseg_label.simulation.settings import fixed_settings, settings_text, stop_rounds
from mrseg_label.simulation.source_comparison import Comparison, make_trials
from mrseg_label.workspace import Workspace

SEED = 20240510
_BEFORE_ROUNDS = FinishedRound(0, BOOTSTRAP, True, 0.0)  # TotalSegmentator, in the form of a round


@dataclass(frozen=True)
class DemoOptions:
    """The options of a demo.

    Attributes
    ----------
    workspace : a new or empty folder; the cohort goes into a second folder beside it.
    rounds : number of training rounds.
    round_size : number of cases that are corrected before each round and after the last one.
    profile : training profile.
    compare_sources : whether to compare raw, inverted and equalised images.
    port : of the server; a free one by default.
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
        """Number of cases that are corrected in all."""
        return (self.rounds + 1) * self.round_size

    @property
    def cohort_folder(self) -> Path:
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
    listener: DemoListener
    scheme: LabelScheme = field(default_factory=LabelScheme.default)
    rows: list[dict[str, Any]] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)
    examples: list[CaseResult] = field(default_factory=list)
    truths: dict[str, TruthFile] = field(default_factory=dict)
    held_out: list[str] = field(default_factory=list)
    current_version: str = BOOTSTRAP

    def prepare(self) -> None:
        """Create the workspace, make the cohort and import it."""
        options, listener = self.options, self.listener
        if options.cohort_folder.exists() and any(options.cohort_folder.iterdir()):
            raise ConfigurationError(
                f"{options.cohort_folder} is not empty, but the demo writes its cohort there; "
                "remove it or choose another --workspace"
            )
        workspace = Workspace.init(options.workspace, settings_text=settings_text(options.round_size, options.profile))
        listener.phase("Making the cohort")
        cohort = make_cohort(
            options.cohort_folder,
            options.cases,
            options.seed,
            lambda done, total, name: listener.advance(done, name, total),
        )
        listener.phase("Importing the images")
        self.truths = import_cohort(workspace.root, cohort, lambda done, total: listener.advance(done, total=total))

    def loop(self, server: Server) -> None:
        """Let the readers correct one batch of cases after another, with a training round between two batches."""
        with SlicerClient(server.url, "demo") as client:
            model = _BEFORE_ROUNDS
            for number in range(self.options.rounds + 1):
                if number == self.options.rounds:
                    stop_rounds(self.options.workspace.resolve(), self.options.round_size, self.options.profile)
                started = time.monotonic()
                batch = self._correct_batch(server, number)
                seconds = time.monotonic() - started
                # The current model is evaluated on the fixed set while the next round trains.
                held_out = self._score_held_out(client)
                self._add_row(number, batch, model, held_out, seconds)
                if number < self.options.rounds:
                    model = self._wait_for_round(client, server, number + 1)
            annotated = client.get("/api/v1/progress")["annotated_total"]
            if annotated != self.options.cases:
                raise Conflict(
                    f"{self.options.cases} cases were submitted, but the server counts {annotated} as annotated"
                )

    def _correct_batch(self, server: Server, number: int) -> list[CaseResult]:
        model = "TotalSegmentator" if self.current_version == BOOTSTRAP else f"model {self.current_version}"
        self.listener.phase(f"Batch {number + 1}: readers correct drafts by {model}", self.options.round_size)

        def report(count: int, case: CaseResult) -> None:
            self.listener.advance(
                count,
                f"{case.participant} {case.station}: draft DSC {case.mean_dsc:.2f}, {case.edited_voxels:,} voxels edited",
            )

        return correct_batch(
            server.url, self.options.round_size, self.truths, self.scheme, self.options.seed, report, abort=server.stop
        )

    def _score_held_out(self, client: SlicerClient) -> HeldOutScore:
        if not self.held_out:
            self.held_out = choose_fixed_set(client, self.truths)
        version = self.current_version
        self.listener.phase(f"Evaluating model {version} on held-out participants", len(self.held_out))
        return score_model(
            client, self.held_out, self.truths, self.scheme, version, lambda count: self.listener.advance(count)
        )

    def _add_row(
        self, number: int, batch: list[CaseResult], model: FinishedRound, held_out: HeldOutScore, seconds: float
    ) -> None:
        row = round_row(
            number,
            batch,
            model_version=model.model_version,
            promoted=model.promoted,
            heldout_dsc=held_out.mean_dsc,
            heldout_cases=held_out.cases,
            training_seconds=model.seconds,
            batch_seconds=seconds,
        )
        self.rows.append(row)
        self.cases += [case_row(number, case) for case in batch]
        self.examples.append(choose_example(batch))
        self.listener.row(row)

    def _wait_for_round(self, client: SlicerClient, server: Server, number: int) -> FinishedRound:
        self.listener.phase(f"Training round {number}")
        finished = wait_for_round(
            client, number, server.check, lambda state, progress: self.listener.round_progress(number, state, progress)
        )
        self.current_version = current_model(client)["version"]
        return finished

    def draw_pictures(self) -> dict[str, str]:
        """Draw the learning curve and a case of the first and of the last batch; return file names by picture."""
        self.listener.phase("Drawing the pictures", 3)
        folder = self.options.reports
        names = {"learning_curve": draw_curve(self.rows, folder / "learning-curve.png").name}
        self.listener.advance(1)
        for count, number in enumerate(sorted({0, len(self.rows) - 1}), start=2):
            path = folder / f"case-round-{number}.png"
            names[f"case_round_{number}"] = draw_case(self.examples[number], self.scheme, path).name
            self.listener.advance(count)
        return names


def run_demo(
    options: DemoOptions,
    listener: DemoListener | None = None,
    on_finished: Callable[[Server, dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Run the demo and return its report, which is also written to ``reports/report.json`` of the workspace.

    Parameters
    ----------
    watcher : is told the progress.
    on_finished : called with the server, which is still running, and the report.

    Raises
    ------
    ConfigurationError
        The workspace or the cohort's folder is not empty.
    Unavailable, Conflict
        The server, a round or a reader failed.
    """
    started = time.monotonic()
    demo = _Demo(options, listener or DemoListener())
    with fixed_settings(), ExitStack() as stack:
        demo.prepare()
        root = options.workspace.resolve()
        comparison = _start_comparison(demo, stack) if options.compare_sources else None
        demo.listener.phase("Starting the server")
        server = stack.enter_context(Server(root, root / "logs" / "server.log", options.port))
        demo.loop(server)
        sources = {}
        if comparison is not None:
            demo.listener.phase("Comparing the sources of pre-segmentations", comparison.total)
            sources = sources_part(comparison.scores())
        report: dict[str, Any] = {"sources": sources, "rounds": demo.rows}
        report["notes"] = [*loop_notes(demo.rows), *source_notes(sources)]
        report["heldout_cases"] = len(demo.held_out)
        report["rule"] = MEAN_OF_CASES
        report["pictures"] = demo.draw_pictures()
        report["cases"] = demo.cases
        report["seconds"] = round(time.monotonic() - started, 1)
        (options.reports / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        if on_finished is not None:
            on_finished(server, report)
    return report


def _start_comparison(demo: _Demo, stack: ExitStack) -> Comparison:
    folder = demo.options.cohort_folder / "sources"
    # A small demo has a small comparison.
    trials = make_trials(folder, demo.options.seed, 2 if demo.options.round_size >= 4 else 1)
    settings = load_settings(demo.options.workspace.resolve())
    weights = find_weights(settings.totalseg_weights_path).path
    return stack.enter_context(Comparison(folder, trials, weights, settings.device))
