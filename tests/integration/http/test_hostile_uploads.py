"""Uploads that name files of the server, or are not what their name promises."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pytest

from tests.support.hostile import FORM, MB, MULTIPART, TRAVERSALS, as_json, exchange, form, part, request, upload
from tests.support.hostile_scene import Scene, check_no_trace, check_refused


def server_paths_as_files(s: Scene) -> dict[str, bytes]:
    own, target = s.by(), f"/datastore/label?image={s.own_ticket}"
    infer = f"/infer/mrseg?image={s.own_ticket}"
    found = {
        "label as a path in a text field": request(
            "PUT", target, own, MULTIPART, body=form(part('form-data; name="label"', b"/etc/passwd"))
        ),
        "label as a path in a form": request("PUT", target, own, FORM, body=b"label=/etc/passwd&params={}"),
        "label as a path in the query": request("PUT", f"{target}&label=/etc/passwd", own, MULTIPART, body=form()),
        "label as a path in params": request(
            "PUT", target, own, MULTIPART, body=form(part('form-data; name="params"', b'{"label": "/etc/passwd"}'))
        ),
        "a finished label by its path": upload(
            "PUT", target, own, name="/etc/passwd", content=b"/etc/passwd", field="label", params={"label_info": []}
        ),
        "a link instead of an image": upload("PUT", "/datastore/image?image=a", own, name="a.nii.gz", content=b"../../mrseg.db"),
    }  # fmt: skip
    for key in ("label", "image", "file", "folder", "result_extension", "model", "session_id"):
        body = form(part('form-data; name="params"', as_json({key: "/etc/passwd"})))
        found[f"infer params: {key}"] = request("POST", infer, own, MULTIPART, body=body)
    detached = {
        "a.mha": b"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = /etc/passwd\n",
        "b.mha": b"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = LIST\n/etc/passwd\n",
        "a.nrrd": b"NRRD0004\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 2 2\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\nencoding: raw\ndata file: /etc/passwd\n\n",
        "b.nrrd": b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: LIST\n/etc/passwd\n",
        "../../a.nii.gz": gzip.compress(bytes(30 * MB)),
        "a.nii": b"\x5c\x01\x00\x00" + b"\xff" * 400,
        "a.nii.gz": zip_of({"../../../pwned.nii.gz": s.image}),
        "a.zip": zip_of({"../../../pwned.nii.gz": s.image, "/etc/cron.d/pwned": b"x"}),
        "a.dcm": b"x",
        "": s.image,
        "..": s.image,
        "a.php": b"<?php",
        "a.pt": b"weights",
    }
    for name, content in detached.items():
        found[f"image {name}"] = upload("PUT", "/datastore/image?image=a", own, name=name, content=content)
        found[f"infer of {name}"] = upload("POST", "/infer/mrseg", own, name=name, content=content, params={})
        found[f"label {name}"] = upload("PUT", target, own, name=name, content=content, field="label", params={})
    found["zip as a session"] = upload(
        "PUT", "/session/?uncompress=true", own, name="a.zip", content=detached["a.zip"], field="files"
    )
    for alias in (
        *TRAVERSALS[:2],
        "a%2fb",
        "a%5cb",
        "..",
        ".",
        "%20",
        "a%0d%0aX-Injected:1",
        "a%00",
        "x" * 201,
        "%e2%80%ae.nii",
        "%ff%fe..",
    ):
        if alias == ".":  # a name like any other: no file is made of it
            continue
        found[f"alias {alias}"] = upload(
            "PUT", f"/datastore/image?image={alias}", own, name="a.nii.gz", content=s.image
        )
    return found


def zip_of(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_paths_of_the_server_are_refused(scene: Scene) -> None:
    check_refused(scene, server_paths_as_files(scene), 55)


@pytest.mark.parametrize(
    "name", ["/etc/passwd/../label.nii.gz", "C:\\Users\\..\\label.nii.gz", "../../../../tmp/pwned.nii.gz", "a.nii.gz/"]
)
def test_a_path_as_file_name_is_what_slicer_sends(scene: Scene, name: str) -> None:
    """Accepted, as its suffix alone counts; and the watch that nothing else changes does see a change."""
    before = scene.state()
    names = [{"name": item} for item in scene.server.workspace.scheme.label_names]
    names = names[len(name) :] + names[: len(name)]  # another mask each time: the same one again would be no change
    data = upload(
        "PUT", f"/datastore/label?image={scene.own_ticket}", scene.by(), name=name.replace("\\", "\\\\"),
        content=scene.label, field="label", params={"label_info": names},
    )  # fmt: skip
    reply = exchange(scene.port, data)
    assert reply.status == 200, reply.body
    after = scene.state()
    assert after.rows != before.rows and set(after.inside) > set(before.inside) and after.outside == before.outside
    new = [Path(path) for path in set(after.inside) - set(before.inside)]
    assert not any("pwned" in str(path) or "passwd" in str(path) for path in new)


def test_no_trace_is_left(scene: Scene) -> None:
    check_no_trace(scene)
