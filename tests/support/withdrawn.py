"""A study of three participants, one of whom withdraws: with images, drafts, masks, a round, comments, logs and leftovers."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text

from mrseg_label.annotation.service import submit
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import (
    Acquisition,
    Alias,
    Annotation,
    AuditEvent,
    Base,
    Evaluation,
    Examination,
    Job,
    ModelVersion,
    Notification,
    Participant,
    Presegmentation,
    Remark,
    Review,
    RoundLog,
)
from mrseg_label.catalog.tables.quality import MaskAgreement, MaskShapes, SuspiciousMask
from mrseg_label.catalog.types import AttentionKind, CaseRole, JobState, ModelStatus, Verdict
from mrseg_label.files import sha256_of
from mrseg_label.imaging import write_nifti
from mrseg_label.intake.exclusion import exclude, include
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import import_paths
from mrseg_label.jobs import queue
from mrseg_label.nnunet.dataset import TrainingCase, write_raw_dataset
from mrseg_label.nnunet.store import PREPROCESSED_CASES_FILE, CaseStore
from mrseg_label.workspace import Workspace
from tests.integration.conftest import add_draft
from tests.support.catalog_rows import add_round
from tests.support.nnunet_cases import SCHEME, image_and_labels

GONE = "1000017"
OTHERS = ("1000025", "X-1000017")  # the second has the first one's code as a word
CODES = (GONE, *OTHERS)
PATTERN = "{participant}_{sequence}.nii.gz"
DATASET = "Dataset501_round1"
_TWO_DAYS = 2 * 24 * 3600


@dataclass
class Study:
    """The workspace, the folder it was imported from, and what stands for the participant who withdraws."""

    workspace: OpenedWorkspace
    cohort: Path
    cases: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    traces: set[str] = field(default_factory=set)
    voxels: list[bytes] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """Folder of the workspace."""
        return self.workspace.root

    def left(self, root: Path | None = None) -> list[str]:
        """Where in a folder, and in the rows of the database, something of the participant is found."""
        root = root or self.root
        found = [
            f"{file.relative_to(root)}: name"
            for file in root.rglob("*")
            if self._is_in(str(file.relative_to(root)).encode())
        ]
        for file in root.rglob("*"):
            if file.is_file():
                data = file.read_bytes()
                contents = [data, gzip.decompress(data)] if data[:2] == b"\x1f\x8b" else [data]
                found += [f"{file.relative_to(root)}" for content in contents if self._is_in(content)]
        return found + self.left_in_rows(self.workspace)

    def left_in_rows(self, workspace: OpenedWorkspace) -> list[str]:
        """Rows that mention the participant, over all tables."""
        found = []
        with workspace.catalog.read() as session:
            for table in Base.metadata.sorted_tables:
                for row in session.execute(text(f'SELECT * FROM "{table.name}"')):
                    content = json.dumps([str(value) for value in row], ensure_ascii=False)
                    if self._is_in(content.encode()):
                        found.append(f"{table.name}: {content[:300]}")
        return found

    def _is_in(self, data: bytes) -> bool:
        words = b"|".join(re.escape(trace.encode()) for trace in sorted(self.traces))
        return re.search(rb"(?<!X-)(?:" + words + rb")", data) is not None or any(one in data for one in self.voxels)


@contextmanager
def study(folder: Path, settings: str = "") -> Iterator[Study]:
    """Make the study; its round is rows and files, as a round leaves them."""
    (folder / "labels.tsv").write_text(SCHEME.text)
    Workspace.init(folder / "ws", folder / "labels.tsv", f'AUTH = "off"\nWORKERS = 0\n{settings}')
    workspace = open_workspace(folder / "ws")
    made = Study(workspace, folder / "cohort")
    try:
        made.cohort.mkdir()
        for seed, code in enumerate(CODES):
            _add_participant(made, code, seed)
        _add_round(made)
        _add_rows(made)
        _add_files(made)
        _collect(made)
        yield made
    finally:
        workspace.close()


def _add_participant(made: Study, code: str, seed: int) -> None:
    image, labels, geometry = image_and_labels(seed)
    for channel, sequence in enumerate(("in", "water")):
        write_nifti(made.cohort / f"{code}_{sequence}.nii.gz", (image + channel).astype(np.int16), geometry)
        if code == GONE:
            made.voxels.append((image + channel).astype("<i2").tobytes(order="F")[20_000:20_064])
    report = import_paths(made.workspace, sorted(made.cohort.glob(f"{code}_*")), ImportOptions(pattern=PATTERN))
    assert len(report.accepted) == 2 and not report.refused, report.refused
    made.cases[code] = report.accepted[0].acquisition_id
    with made.workspace.catalog.read() as session:
        case = session.get(Acquisition, made.cases[code])
        assert case is not None and case.primary_examination_id is not None
        opened = case.primary_examination_id
    add_draft(made.workspace, opened)
    mask = made.cohort / "mask.nii.gz"
    write_nifti(mask, labels, geometry)
    info = [{"name": name} for name in SCHEME.names]
    sent = submit(
        made.workspace, Reader("ada"), examination_id=opened, upload=mask, file_name=f"{code}.nii.gz", label_info=info
    )
    made.annotations[code] = sent.annotation_id
    mask.unlink(missing_ok=True)
    with made.workspace.catalog.begin() as session:
        comment = f"{code} has a scar"
        session.add(Review(annotation_id=sent.annotation_id, reviewer="ben", verdict=Verdict.ACCEPTED, comment=comment))


def _add_round(made: Study) -> None:
    workspace, cases = made.workspace, []
    with workspace.catalog.begin() as session:
        rows = {code: session.get_one(Annotation, made.annotations[code]) for code in CODES}
        row = add_round(session, 1, [(rows[code], CaseRole.TRAINING) for code in CODES])
        gone, channel = rows[GONE], rows[GONE].examination_id
        row.result = {
            "filling": {one.id: {"liver": one.presegmentation_id} for one in rows.values()},
            "left_out": {channel: "it could not be used"},
            "swapped": [channel, rows[OTHERS[0]].examination_id],
            "warnings": [f"{channel} is doubtful", "trained on the CPU"],
        }
        session.add(RoundLog(round_number=1, text=f"planning\npreprocessing {channel}\ntraining\n"))
        session.add(ModelVersion(version="r1", round_number=1, parent="bootstrap", status=ModelStatus.RETIRED))
        session.add(ModelVersion(version="r2", parent="r1", status=ModelStatus.CANDIDATE))
        for one in rows.values():
            session.add(
                Evaluation(
                    model_version="r1", annotation_id=one.id, examination_id=one.examination_id, dsc={"liver": 0.5}
                )
            )
        for code, one in rows.items():
            image = session.get_one(Examination, one.examination_id)
            cases.append(
                TrainingCase(
                    image.id, workspace.path(image.path), workspace.path(one.path), code, image_digest=image.digest, label_digest=one.digest
                )
            )  # fmt: skip
        del gone
    raw = write_raw_dataset(workspace.nnunet / "raw", DATASET, cases, SCHEME)
    _preprocess(made, cases)
    results = workspace.nnunet / "results" / DATASET / "T__P__C" / "fold_0"
    (results / "validation").mkdir(parents=True)
    shutil.copy(raw.folder / "labelsTr" / f"{cases[0].case_id}.nii.gz", results / "validation")
    (results / "checkpoint_latest.pth").write_bytes(f"weights of {cases[0].case_id}".encode())


def _preprocess(made: Study, cases: list[TrainingCase]) -> None:
    """Preprocessed cases as nnU-Net leaves them, linked into the data set from the store."""
    folder = made.workspace.nnunet / "preprocessed" / DATASET
    data = folder / "nnUNetPlans_3d_fullres"
    data.mkdir(parents=True)
    store, keys = CaseStore(folder.parent), {}
    for case in cases:
        for part in (".b2nd", "_seg.b2nd", ".pkl"):
            (data / f"{case.case_id}{part}").write_bytes(gzip.decompress(case.image.read_bytes()))
        keys[case.case_id] = (case.image_digest or "")[::-1]
        store.add(keys[case.case_id], data, case.case_id)
        assert store.link(keys[case.case_id], data, case.case_id)
    (folder / PREPROCESSED_CASES_FILE).write_text(json.dumps({"cases": keys}))
    (folder / "splits_final.json").write_text(json.dumps([{"train": [case.case_id for case in cases], "val": []}]))
    (folder / "nnUNetPlans.json").write_text('{"plans": "of the network"}')


def _add_rows(made: Study) -> None:
    workspace = made.workspace
    exclude(workspace.catalog, GONE, reason=f"{GONE} moved during the scan", actor="admin")
    include(workspace.catalog, GONE, actor="admin")
    with workspace.catalog.begin() as session:
        gone = session.get_one(Annotation, made.annotations[GONE])
        session.add(Remark(annotation_id=gone.id, reviewer="ben", comment="an unusual liver", edited_at=1))
        session.add(Alias(client="ada", name="the unusual liver", examination_id=gone.examination_id))
        session.add(
            AuditEvent(
                actor="ada",
                action="downloaded",
                subject=f"{gone.examination_id}.nii.gz",
                detail={"digest": gone.digest},
            )
        )
        session.add(
            AuditEvent(actor="ada", action="listed", subject="cases", detail={"ids": list(made.cases.values())})
        )
        session.add(MaskShapes(digest=gone.digest, structures={"liver": {"ml": 1500}}))
        first, second = sorted((gone.digest, session.get_one(Annotation, made.annotations[OTHERS[0]]).digest))
        session.add(MaskAgreement(first_digest=first, second_digest=second, structures={"liver": {"dsc": 0.1}}))
        session.add(SuspiciousMask(mask_id=gone.id, mask="annotation", kinds=",volume,", reasons=[], score=0.5))
        message = f"the mask of {GONE} is refused"
        session.add(Notification(kind=next(iter(AttentionKind)), occurrence=f"{GONE}:1", message=message))
        done = queue.enqueue(
            session, queue.PRESEGMENT, {"acquisition": gone.acquisition_id}, key=f"{gone.acquisition_id}:r1"
        )
        done.state = JobState.DONE
        failed = queue.enqueue(session, queue.COMPARE_SCANS, {"left": [gone.examination_id, "x"]}, key="compare")
        failed.state, failed.error = JobState.FAILED, f"{GONE}: the image has no voxels\nthe disk is full"


def _add_files(made: Study) -> None:
    root = made.root
    with made.workspace.catalog.read() as session:
        gone = session.get_one(Annotation, made.annotations[GONE]).examination_id
        other = session.get_one(Annotation, made.annotations[OTHERS[0]]).examination_id
    (root / "logs" / "round-1").mkdir()
    (root / "logs" / "round-1" / "training.log").write_text(f"epoch 1\nvalidating {gone}\nepoch 2\n")
    (root / "logs" / "server.log").write_text(
        f"the draft of {other} is doubtful\nthe draft of {gone} is doubtful: liver\n"
        f"GET /api/v1/examinations?participant={GONE}\nimported {OTHERS[1]}\n"
    )
    (root / "demo.json").write_text(
        json.dumps({"cases": [{"participant": GONE, "dsc": 0.5}, {"participant": OTHERS[0]}]})
    )
    image = made.cohort / f"{GONE}_in.nii.gz"
    for place in ("tmp/round-1", "tmp/sessions/0a1b", "tmp/job-dead", "inbox/sent-1", f"inbox/{GONE}", "inbox/kept"):
        (root / place).mkdir(parents=True)
        source = made.cohort / f"{OTHERS[0]}_in.nii.gz" if place == "inbox/kept" else image
        shutil.copy(source, root / place / "image.nii.gz")
        os.utime(root / place, (time.time() - _TWO_DAYS,) * 2)


def _collect(made: Study) -> None:
    """Everything that stands for the participant, read from the rows themselves."""
    case = made.cases[GONE]
    traces: set[Any] = {GONE, case, "the unusual liver", "an unusual liver"}
    with made.workspace.catalog.read() as session:
        traces.add(session.get_one(Acquisition, case).participant_id)
        rows: list[Examination | Presegmentation | Annotation] = [
            *session.query(Examination).filter_by(acquisition_id=case),
            *session.query(Presegmentation).filter_by(acquisition_id=case),
            *session.query(Annotation).filter_by(acquisition_id=case),
        ]
        for row in rows:
            traces |= {row.id, row.path, row.digest}
            names = ("source", "source_digest", "fingerprint", "upload_digest", "upload_path")
            traces |= {getattr(row, name, None) for name in names}
        # The drafts of these tests are alike, so that the digest of one is also that of the others.
        for draft in session.query(Presegmentation).filter(Presegmentation.acquisition_id != case):
            traces -= {draft.digest, draft.source}
        assert session.query(Participant).count() == len(CODES)
        assert session.query(Job).count()
    made.traces = {str(trace) for trace in traces if trace}
    assert sha256_of(made.cohort / f"{GONE}_in.nii.gz") in made.traces
