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
from mrseg_label.errors import Conflict
from mrseg_label.labels import LabelScheme
from mrseg_label.presegmentation.weights import find_weights
from mrseg_label.scoring import MEAN_OF_CASES
from mrseg_label.simulation.batch import correct_batch
from mrseg_label.simulation.client import SlicerClient
from mrseg_label.simulation.cohort import import_cohort, make_cohort
from mrseg_label.simulation.held_out import HeldOutScore, choose_fixed_set, score_model
from mrseg_label.simulation.listener import DemoListener
from mrseg_label.simulation.pictures import choose_example, draw_case, draw_curve
from mrseg_label.simulation.progress_file import DemoProgress, begin
from mrseg_label.simulation.radiologist import CaseResult
from mrseg_label.simulation.report import case_row, loop_notes, round_row, source_notes, sources_part
from mrseg_label.simulation.rounds import current_model, held_out_examinations, wait_for_round
from mrseg_label.simulation.server import Server
from mrseg_label.simulation.settings import fixed_settings, settings_text, stop_rounds
from mrseg_label.simulation.source_comparison import Comparison, make_trials
from mrseg_label.workspace import Workspace

SEED = 20240510


@dataclass(frozen=True)
class DemoOptions:
    """The options of a demo.

    Attributes
    ----------
    workspace : a new or empty folder, or that of a demo that was stopped; the cohort goes into a second folder
        beside it.
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
    def decisive(self) -> dict[str, Any]:
        """The options that must stay the same when a demo goes on."""
        return {"rounds": self.rounds, "round size": self.round_size, "profile": self.profile, "seed": self.seed}

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
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.root = self.options.workspace.resolve()
        found = begin(self.root, self.options.cohort_folder, self.options.decisive)
        self.progress = found or DemoProgress(self.options.decisive)

    def save(self) -> None:
        """Write what was done until now."""
        now = time.monotonic()
        self.progress.seconds += now - self.started
        self.started = now
        self.progress.save(self.root)

    def prepare(self) -> None:
        """Create the workspace, make the cohort and import it, unless an earlier start has done so."""
        options, listener = self.options, self.listener
        if self.progress.truths:
            listener.note(f"Going on with the demo in {self.root}.")
            return
        workspace = Workspace.init(options.workspace, settings_text=settings_text(options.round_size, options.profile))
        self.save()
        listener.phase("Making the cohort")
        cohort = make_cohort(
            options.cohort_folder,
            options.cases,
            options.seed,
            lambda done, total, name: listener.advance(done, name, total),
        )
        listener.phase("Importing the images")
        truths = import_cohort(workspace.root, cohort, lambda done, total: listener.advance(done, total=total))
        self.progress.truths = truths
        self.save()

    def loop(self, server: Server) -> None:
        """Let the readers correct one batch of cases after another, with a training round between two batches."""
        with SlicerClient(server.url, "demo") as client:
            for number in range(self.options.rounds + 1):
                if len(self.progress.rows) <= number:
                    if number == self.options.rounds:
                        stop_rounds(self.root, self.options.round_size, self.options.profile)
                    self._correct_batch(client, server, number)
                    # The current model is evaluated on the fixed set while the next round trains.
                    self._add_row(client, number, self._score_held_out(client))
                if self.progress.model.number <= number < self.options.rounds:
                    self._wait_for_round(client, server, number + 1)
            annotated = client.get("/api/v1/progress")["annotated_total"]
            if annotated != self.options.cases:
                raise Conflict(
                    f"{self.options.cases} cases were submitted, but the server counts {annotated} as annotated"
                )

    def _correct_batch(self, client: SlicerClient, server: Server, number: int) -> None:
        progress = self.progress
        version = progress.current_version
        model = "TotalSegmentator" if version == BOOTSTRAP else f"model {version}"
        # The server knows of a case that was submitted just before the demo was stopped; the demo may not.
        done = client.get("/api/v1/progress")["annotated_total"] - number * self.options.round_size
        left = self.options.round_size - done
        self.listener.phase(f"Batch {number + 1}: readers correct drafts by {model}", left)
        started, before = time.monotonic(), progress.batch_seconds

        def report(count: int, case: CaseResult) -> None:
            progress.batch.append(case)
            progress.batch_seconds = before + time.monotonic() - started
            self.save()
            self.listener.advance(
                count,
                f"{case.participant} {case.station}: draft DSC {case.mean_dsc:.2f}, {case.edited_voxels:,} voxels edited",
            )

        if left > 0:
            correct_batch(server.url, left, progress.truths, self.scheme, self.options.seed, report, abort=server.stop)

    def _score_held_out(self, client: SlicerClient) -> HeldOutScore | None:
        progress = self.progress
        if not progress.held_out:
            progress.held_out = choose_fixed_set(client, progress.truths)
        version = progress.current_version
        if current_model(client)["version"] != version:
            return None  # the demo was stopped, and meanwhile the next round has finished
        self.listener.phase(f"Evaluating model {version} on held-out participants", len(progress.held_out))
        return score_model(
            client, progress.held_out, progress.truths, self.scheme, version, lambda count: self.listener.advance(count)
        )

    def _add_row(self, client: SlicerClient, number: int, held_out: HeldOutScore | None) -> None:
        progress = self.progress
        people = {progress.truths[one].participant for one in held_out_examinations(client)}
        row = round_row(
            number,
            progress.batch,
            model_version=progress.model.model_version,
            promoted=progress.model.promoted,
            heldout_dsc=held_out.mean_dsc if held_out else None,
            heldout_cases=held_out.cases if held_out else 0,
            training_seconds=progress.model.seconds,
            batch_seconds=progress.batch_seconds,
            held_out=people,
        )
        example = choose_example(progress.batch) if number in (0, self.options.rounds) else None
        if example is not None:  # drawn at once, since the images of cases are not kept
            name = draw_case(example, self.scheme, self.options.reports / f"case-round-{number}.png").name
            progress.pictures[f"case_round_{number}"] = name
        progress.rows.append(row)
        progress.cases += [case_row(number, case, people) for case in progress.batch]
        progress.batch, progress.batch_seconds = [], 0.0
        self.save()
        self.listener.row(row)

    def _wait_for_round(self, client: SlicerClient, server: Server, number: int) -> None:
        self.listener.phase(f"Training round {number}")
        finished = wait_for_round(
            client, number, server.check, lambda state, progress: self.listener.round_progress(number, state, progress)
        )
        self.progress.current_version = current_model(client)["version"]
        self.progress.model = finished
        self.save()

    def draw_pictures(self) -> dict[str, str]:
        """Draw the learning curve; return its file name and those of the cases that were drawn, by picture."""
        self.listener.phase("Drawing the pictures", 1)
        curve = draw_curve(self.progress.rows, self.options.reports / "learning-curve.png").name
        self.listener.advance(1)
        return {"learning_curve": curve} | self.progress.pictures


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
        The workspace or the cohort's folder is not empty, or its demo has finished or has other options.
    Unavailable, Conflict
        The server, a round or a reader failed.
    """
    with fixed_settings(), ExitStack() as stack:
        demo = _Demo(options, listener or DemoListener())
        demo.prepare()
        root = demo.root
        comparison = _start_comparison(demo, stack) if options.compare_sources else None
        demo.listener.phase("Starting the server")
        server = stack.enter_context(Server(root, root / "logs" / "server.log", options.port))
        demo.loop(server)
        sources = {}
        if comparison is not None:
            demo.listener.phase("Comparing the sources of pre-segmentations", comparison.total)
            sources = sources_part(comparison.scores())
        rows = demo.progress.rows
        report: dict[str, Any] = {"sources": sources, "rounds": rows}
        report["notes"] = [*loop_notes(rows), *source_notes(sources)]
        report["heldout_cases"] = len(demo.progress.held_out)
        report["rule"] = MEAN_OF_CASES
        report["pictures"] = demo.draw_pictures()
        report["cases"] = demo.progress.cases
        demo.save()
        report["seconds"] = round(demo.progress.seconds, 1)
        (options.reports / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        demo.progress.finished = True
        demo.save()
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
