"""A catalogue of any size with cases in every state, filled in minutes: for the benchmarks ``catalog`` and ``dashboard``.

What triggers keep is counted anew once the rows are written (benchmarks/bulk_rows.py).
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import Any

import numpy as np

from benchmarks.bulk_rows import Writer, bulk
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import case_counts, models
from mrseg_label.catalog.tables import (
    Acquisition,
    Annotation,
    AnnotationStructure,
    Assignment,
    Evaluation,
    Examination,
    Job,
    ModelVersion,
    Participant,
    Presegmentation,
    Round,
    RoundCase,
)
from mrseg_label.clock import now
from mrseg_label.ids import ALPHABET
from mrseg_label.labels import LabelScheme

STATIONS = ("neck", "thorax", "abdomen", "pelvis", "thighs", "legs")
CHANNELS = ("in", "opp", "fat", "water")
PER_PERSON = len(STATIONS) * len(CHANNELS)
ANNOTATED_SHARE = 0.05  # of the participants
AT_WORK = 250  # cases that readers have, and as many that await review
SINCE_ROUND = 30  # cases annotated since the last round
GEOMETRY = json.dumps(
    {
        "shape": [224, 174, 44],
        "affine": [[2.2, 0, 0, -250.0], [0, 2.2, 0, -190.0], [0, 0, 4.5, 0], [0, 0, 0, 1]],
        "spacing_mm": [2.2, 2.2, 4.5],
        "axcodes": "RAS",
    }
)
START = datetime(2026, 1, 1, tzinfo=UTC)
_CLOSE_CHANNELS = np.timedelta64(3, "ms")


def fill(catalog: Catalog, examinations: int, *, at_work: int = AT_WORK, seed: int = 5) -> None:
    """Fill an empty, migrated catalogue with at least so many examinations, 24 a participant.

    Parameters
    ----------
    at_work : how many cases readers have, and how many await review.
    """
    begin = time.monotonic()
    with catalog.begin() as session:
        models.ensure_bootstrap(session)
    with bulk(catalog) as writer:
        _Study(-(-examinations // PER_PERSON), at_work, np.random.default_rng(seed)).write(writer)
        _say(begin, "rows are written")
    _say(begin, "indices are made")
    case_counts.recount(catalog)
    # What a day of use has behind it: otherwise the first commit would move all that was filled into SQLite's main file.
    tidy = "PRAGMA wal_checkpoint(TRUNCATE)" if catalog.is_sqlite else "VACUUM ANALYZE"
    with catalog.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(tidy)
    _say(begin, "cases are counted")


def _say(begin: float, what: str) -> None:
    print(f"filling: {what} after {time.monotonic() - begin:.0f} s", file=sys.stderr)


@dataclass
class _Study:
    """The rows of a study.

    A twentieth of the participants are annotated at every station. All but the last cases of these are in the snapshot of a
    round, whose model was tested on the held-out ones; every draft was corrected in some structures.
    """

    people: int
    at_work: int
    draw: np.random.Generator

    def write(self, writer: Writer) -> None:
        people, cases = self.people, self.people * len(STATIONS)
        images = cases * len(CHANNELS)
        codes = [f"P{number:07}" for number in range(people)]
        people_ids, case_ids, image_ids = self._ids("pt", people), self._ids("aq", cases), self._ids("ex", images)
        days = _moments(np.arange(people) * np.timedelta64(1, "m"))
        held_out = [number % 5 == 0 for number in range(people)]
        writer.write(
            Participant,
            ("id", "code", "held_out", "created_at"),
            zip(people_ids, codes, held_out, days, strict=True),
        )
        chance = self.draw.random(cases)
        annotated_people = max(1, int(people * ANNOTATED_SHARE))
        excluded = chance < 0.01
        annotated = (np.arange(cases) < annotated_people * len(STATIONS)) & ~excluded
        without_image = (chance > 0.9999) & ~annotated
        moments = [moment for moment in days for _ in STATIONS]
        primary = [None if none else image_ids[4 * case] for case, none in enumerate(without_image)]
        priorities = np.where((chance > 0.5) & (chance < 0.502), "high", np.where(chance < 0.012, "low", "normal"))
        writer.write(
            Acquisition,
            ("id", "participant_id", "key", "station", "sequence", "primary_examination_id", "annotated_at", "excluded_at",
             "excluded_by", "excluded_reason", "shuffle", "priority", "created_at", "held_out"),
            zip(
                case_ids,
                (one for one in people_ids for _ in STATIONS),
                (f'["{code}", "", "{station}", 1]' for code in codes for station in STATIONS),
                STATIONS * people,
                repeat(CHANNELS[0], cases),
                primary,
                (moment if done else None for moment, done in zip(moments, annotated, strict=True)),
                (moment if out else None for moment, out in zip(moments, excluded, strict=True)),
                ("root" if out else None for out in excluded),
                ("motion" if out else None for out in excluded),
                self.draw.random(cases).tolist(),
                priorities.tolist(),
                moments,
                (one for one in held_out for _ in STATIONS),
                strict=True,
            ),
        )  # fmt: skip
        states = np.where(
            excluded, "excluded", np.where(annotated, "annotated", np.where(without_image, "no_image", "waiting"))
        )
        self._write_images(writer, case_ids, image_ids, codes, chance, states)
        self._write_work(writer, case_ids, image_ids, moments, annotated, states == "waiting", held_out)

    def _write_images(
        self, writer: Writer, case_ids: list[str], image_ids: list[str], codes: list[str], chance: Any, states: Any
    ) -> None:
        images = len(image_ids)
        number = np.arange(images)
        steps = (number // PER_PERSON) * np.timedelta64(60_000, "ms") + (number % PER_PERSON) * _CLOSE_CHANNELS
        digests = self.draw.bytes(32 * images).hex()
        digest = [digests[start : start + 64] for start in range(0, len(digests), 64)]
        sequences = [
            "T2" if person % 4000 == 7 and channel == "opp" else channel
            for person in range(len(codes))
            for _ in STATIONS
            for channel in CHANNELS
        ]
        writer.write(
            Examination,
            ("id", "acquisition_id", "sequence", "source", "source_digest", "path", "digest", "fingerprint", "geometry",
             "warnings", "swap", "created_at", "case_station", "case_state"),
            zip(
                image_ids,
                (case for case in case_ids for _ in CHANNELS),
                sequences,
                (f"/data/{code}/{station}_{one}.nii.gz" for code in codes for station in STATIONS for one in CHANNELS),
                digest,
                (f"images/{code}/{station}_{one}.nii.gz" for code in codes for station in STATIONS for one in CHANNELS),
                digest,
                digest,
                repeat(GEOMETRY, images),
                repeat("[]", images),
                ("suspected" if one > 0.999 else None for one in chance for _ in CHANNELS),
                _moments(steps),
                (station for _ in codes for station in STATIONS for _ in CHANNELS),
                (state for state in states.tolist() for _ in CHANNELS),
                strict=True,
            ),
        )  # fmt: skip

    def _write_work(
        self,
        writer: Writer,
        case_ids: list[str],
        image_ids: list[str],
        moments: list[str],
        annotated: Any,
        waiting: Any,
        held_out: list[bool],
    ) -> None:
        """Assignments, drafts, annotations with their effort, a round with its model, and the jobs that made them."""
        done = np.flatnonzero(annotated)
        idle = self.draw.permutation(np.flatnonzero(waiting)[:20_000])
        at_work = min(self.at_work, len(idle) // 4)
        reviewed, assigned = idle[:at_work], idle[at_work : 2 * at_work]
        submitted = np.concatenate([done, reviewed])
        count = len(submitted)
        drafts, tickets = self._ids("ps", count), self._ids("as", count + at_work)
        annotations, jobs = self._ids("an", count), self._ids("jb", 2 * count)
        in_round = max(0, len(done) - SINCE_ROUND)
        version = ["bootstrap" if place < in_round else "r1" for place in range(count)]
        finished = START + timedelta(days=90)
        writer.write(
            Round,
            ("number", "state", "profile", "final", "include_held_out", "pretrain", "parent", "attempt", "progress", "result",
             "created_at", "started_at", "finished_at"),
            [(1, "done", "standard", False, False, False, "bootstrap", 1, "{}", "{}", *repeat(_text(finished), 3))],
        )  # fmt: skip
        writer.write(
            ModelVersion,
            ("version", "round_number", "parent", "status", "path", "metrics", "created_at", "promoted_at"),
            [("r1", 1, "bootstrap", "retired", "models/r1", "{}", *repeat(_text(finished), 2))],
        )
        writer.write(
            Presegmentation,
            ("id", "acquisition_id", "examination_id", "model_version", "source", "path", "digest", "seconds", "created_at"),
            (
                (drafts[place], case_ids[case], image_ids[4 * case], version[place], "inverted",
                 f"presegmentations/{drafts[place]}.nii.gz", "0" * 64, 20.0, moments[case])
                for place, case in enumerate(submitted)
            ),
        )  # fmt: skip
        until = _text(now() + timedelta(days=2))
        writer.write(
            Assignment,
            ("id", "ticket", "acquisition_id", "client", "second_reading", "presegmentation_id", "strategy", "requested",
             "created_at", "expires_at", "ended_at", "outcome"),
            (
                (tickets[place], f"ticket-{tickets[place]}", case_ids[case], f"reader{place % 20}", False,
                 drafts[place] if place < count else None, "balanced", False, moments[case],
                 *((moments[case], moments[case], "submitted") if place < count else (until, None, None)))
                for place, case in enumerate(np.concatenate([submitted, assigned]))
            ),
        )  # fmt: skip
        edited = self.draw.integers(0, 90_000, count).tolist()
        writer.write(
            Annotation,
            ("id", "acquisition_id", "examination_id", "number", "state", "author", "client", "path", "digest", "upload_path",
             "upload_digest", "presegmentation_id", "model_version", "assignment_id", "seconds", "is_final", "report", "effort",
             "created_at"),
            (
                (annotations[place], case_ids[case], image_ids[4 * case], 1, "accepted" if place < len(done) else "submitted",
                 f"reader{place % 20}", f"reader{place % 20}", f"annotations/{case_ids[case]}/1.nii.gz", "0" * 64,
                 f"annotations/{case_ids[case]}/1.seg.nrrd", "0" * 64, drafts[place], version[place], tickets[place], 700.0, True,
                 "{}", json.dumps({"edited_voxels": edited[place], "edited_ml": edited[place] * 0.02, "mean_dsc": 0.8,
                                   "draft": drafts[place], "sitting_seconds": 640.0}),
                 moments[case])
                for place, case in enumerate(submitted)
            ),
        )  # fmt: skip
        names = LabelScheme.default().names
        overlap = self.draw.random(count * len(names)).round(3).tolist()
        writer.write(
            AnnotationStructure,
            ("annotation_id", "structure", "state", "voxels", "edited_voxels", "dsc"),
            (
                (annotation, name, "corrected", 5000, edited[place] // len(names), overlap[place * len(names) + at])
                for place, annotation in enumerate(annotations)
                for at, name in enumerate(names)
            ),
        )
        roles = ["held_out" if held_out[case // len(STATIONS)] else "training" for case in done[:in_round]]
        writer.write(
            RoundCase,
            ("round_number", "annotation_id", "acquisition_id", "role"),
            (
                (1, annotations[place], case_ids[case], roles[place])
                for place, case in enumerate(done[:in_round])
            ),
        )  # fmt: skip
        scores = json.dumps(dict.fromkeys(names, 0.81))
        writer.write(
            Evaluation,
            ("model_version", "annotation_id", "examination_id", "mean_dsc", "dsc", "created_at"),
            (
                (tested, annotations[place], image_ids[4 * done[place]], 0.81, scores, _text(finished))
                for tested in ("bootstrap", "r1")
                for place, role in enumerate(roles)
                if role == "held_out"
            ),
        )
        writer.write(
            Job,
            ("id", "kind", "queue", "key", "payload", "priority", "state", "attempt", "deaths", "put_aside", "max_attempts",
             "cancel_requested", "progress", "result", "created_at", "started_at", "finished_at"),
            (
                (job, kind, "light", key, "{}", 0, "done", 1, 0, False, 3, False, "{}", "{}", moment, moment, moment)
                for place, case in enumerate(submitted)
                for moment in (moments[case],)
                for job, kind, key in (
                    (jobs[2 * place], "presegment", f"{case_ids[case]}:{version[place]}"),
                    (jobs[2 * place + 1], "measure_effort", annotations[place]),
                )
            ),
        )  # fmt: skip

    def _ids(self, prefix: str, count: int) -> list[str]:
        """Identifiers of the product's form, which are drawn at random."""
        letters = np.frombuffer(ALPHABET.encode(), dtype=np.uint8)
        text = letters[self.draw.integers(0, 32, (count, 16))].tobytes().decode()
        return [f"{prefix}-{text[start : start + 16]}" for start in range(0, len(text), 16)]


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _moments(after: Any) -> list[str]:
    """Moments after the start of the study, as SQLite stores them."""
    moments = np.datetime64(START.replace(tzinfo=None), "us") + after
    return [text.replace("T", " ") for text in np.datetime_as_string(moments, unit="us").tolist()]
