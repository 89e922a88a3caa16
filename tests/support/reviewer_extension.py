"""The requests of the Slicer extension MONAILabelReviewer, and what it does with the answers.

Written after its source (Project-MONAI/MONAILabel, plugins/slicer/MONAILabelReviewer, December 2025): it joins the
server's address and each path as texts, sends no token, and takes every status but 200 for a failure. The data it keeps
about a case are those of the last listing, changed by what it sent since.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import nrrd
import requests

FIELDS = ("status", "level", "approvedBy", "comment", "editTime")


@dataclass
class Case:
    """A case of the listing, as the extension keeps it."""

    key: str
    node_name: str
    segmented: bool
    annotator: str
    annotated_at: str
    segmentation_name: str
    tags: list[str]
    label_info: dict[str, Any]
    meta: dict[str, dict[str, Any]]

    def opened_first(self) -> str:
        """The tag that is opened first: an approved one, else the last version."""
        if len(self.meta) == 1:
            return next(iter(self.meta))
        approved = [tag for tag, meta in self.meta.items() if meta["status"] == "approved"]
        versions = {int(tag.partition("_")[2]): tag for tag in self.meta if tag.startswith("version_")}
        return approved[0] if approved else versions[max(versions)] if versions else ""

    def next_version(self) -> str:
        """The tag under which an edited label is saved: after the last one in the list."""
        last = self.tags[-1]
        made = "version_1" if last == "final" else f"version_{int(last[last.index('_') + 1 :]) + 1}"
        self.tags.append(made)
        return made


@dataclass
class ReviewerExtension:
    """A reviewer at Slicer.

    Attributes
    ----------
    address : as it was typed in, with or without a slash at its end.
    reviewer : the name in its own field; nothing checks it.
    """

    address: str
    reviewer: str
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.trust_env = False

    def connect(self) -> bool:
        return self.session.get(self.address.rstrip("/"), timeout=5).status_code == 200

    def load(self) -> dict[str, Case]:
        """Load the list of cases, as the extension does when it connects and after every change."""
        answer = self.session.get(f"{self.address}/datastore/?output=all", timeout=5)
        assert answer.status_code == 200, answer.text
        return {key: _parse(key, value) for key, value in answer.json()["objects"].items()}

    def image(self, case: Case) -> requests.Response:
        """Download the image, as Slicer does for it."""
        return self.session.get(f"{self.address}/datastore/image?image={quote_plus(case.key)}")

    def label(self, case: Case, tag: str, folder: Path) -> Path:
        """Download a label and keep it under the name of the case's segmentation, by which Slicer loads it."""
        url = f"{self.address}/datastore/label?label={quote_plus(case.key)}&tag={quote_plus(tag)}"
        answer = self.session.get(url, timeout=5)
        assert answer.status_code == 200, answer.text
        file = folder / case.segmentation_name
        file.write_bytes(answer.content)
        return file

    def decide(self, case: Case, tag: str, status: str = "", level: str = "", comment: str = "") -> int:
        """Press "Next" after a decision; returns the status of the answer about this tag.

        What is blank stays as it was. Then all other labels of the case are sent again: with the same level, and no
        longer as approved.
        """
        meta = case.meta[tag]
        given = {"status": status, "level": level, "comment": comment, "approvedBy": self.reviewer}
        if all(meta[key] == value for key, value in given.items()):
            return 200
        meta |= {key: value for key, value in given.items() if value.strip()}
        meta["editTime"] = int(time.time())
        answered = self.send(case, tag, meta)
        for other, kept in case.meta.items():
            if other != tag:
                kept["status"] = "" if kept["status"] == "approved" else kept["status"]
                kept["level"] = level
                self.send(case, other, kept)
        return answered

    def send(self, case: Case, tag: str, meta: dict[str, Any]) -> int:
        url = f"{self.address}/datastore/updatelabelinfo?label={quote_plus(case.key)}&tag={quote_plus(tag)}"
        headers = {"Content-Type": "application/x-www-form-urlencoded", "accept": "application/json"}
        return self.session.put(
            url, headers=headers, data={"params": json.dumps({"segmentationMeta": meta})}
        ).status_code

    def save(self, case: Case, tag: str, file: Path) -> int:
        """Save an edited label, as a new version or over one of the same tag."""
        meta = {"status": "", "level": "", "approvedBy": self.reviewer, "comment": "", "editTime": int(time.time())}
        case.meta[tag] = case.meta.get(tag, {}) | meta
        params = {**case.label_info, "segmentationMeta": meta}
        with file.open("rb") as stream:
            return self.session.put(
                f"{self.address}/datastore/label?image={case.key}&tag={tag}",
                data={"params": json.dumps(params)},
                files={"label": (f"{case.key}.nrrd", stream)},
            ).status_code

    def delete(self, case: Case, tag: str) -> int:
        return self.session.delete(f"{self.address}/datastore/label?id={case.key}&tag={tag}").status_code


def slicer_segments(file: Path) -> tuple[dict[str, int], Any, dict[str, Any]]:
    """Load a segmentation as Slicer does: values by the names of its segments, voxels, and the header."""
    voxels, header = nrrd.read(str(file))
    count = sum(1 for key in header if key.startswith("Segment") and key.endswith("_ID"))
    names = {header[f"Segment{k}_Name"]: int(header[f"Segment{k}_LabelValue"]) for k in range(count)}
    return names, voxels, header


def _parse(key: str, entry: dict[str, Any]) -> Case:
    """Read an object of the listing; a field that is missing or null stops the extension."""
    image, labels = entry["image"]["info"], entry["labels"]
    final = labels.get("final", {}).get("info")
    annotator, at = "", image["ts"]
    if "annotate" in image.get("strategy", {}):
        annotator, at = image["strategy"]["annotate"]["client_id"], image["strategy"]["annotate"]["ts"]
    elif final is not None and final["label_info"]:
        annotator = final["client_id"]
    meta: dict[str, dict[str, Any]] = {}
    for tag, label in labels.items():
        if found := label["info"].get("segmentationMeta"):
            meta[tag] = {name: found[name] for name in FIELDS}
            for name in FIELDS[:4]:
                assert isinstance(found[name], str), (tag, name, found[name])  # it calls strip()
            datetime.fromtimestamp(found["editTime"])
            assert tag == "final" or int(tag[tag.index("_") + 1 :]) > 0
    return Case(
        key=key,
        node_name=image["name"],
        segmented=final is not None,
        annotator=annotator,
        annotated_at=str(datetime.fromtimestamp(at)),
        segmentation_name="" if final is None else final["name"],
        tags=list(labels),
        label_info={} if final is None else {"label_info": final["label_info"]},
        meta=meta,
    )
