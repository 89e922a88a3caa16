"""JSON that is malformed, of the wrong types, or too much."""

from __future__ import annotations

from typing import Any

from tests.support.hostile import JSON, MULTIPART, SQL, as_json, form, part, request, upload
from tests.support.hostile_scene import Scene, check_no_trace, check_refused


def malformed_json(s: Scene) -> dict[str, bytes]:
    own, robot = s.by(), s.by("rita")
    bodies: dict[str, bytes] = {
        "nothing": b"{",
        "deep list": b"[" * 100_000,
        "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        "a list": b"[]",
        "a text": b'"x"',
        "a number": b"1",
        "NaN as a name": b'{"client_id": NaN, "client": NaN, "label": NaN, "reason": NaN}',
        "a huge number": b'{"client_id": 1' + b"0" * 400 + b', "client": 1e999, "label": 1e999, "reason": 1e999}',
        "a number of thousands of digits": b'{"client_id": 1' + b"0" * 6000 + b"}",
        "wrong types": b'{"client_id": {"a": []}, "client": {"a": []}, "label": [], "reason": {}}',
        "a key twice": b'{"client_id": "a", "client": "a", "label": "a", "reason": "x", "client_id": 5, "client": 5, "label": 5, "reason": 5}',
        "half a character": b'{"client_id": "\\ud800", "client": "\\ud800", "label": "\\ud800", "reason": "\\ud800"}',
        "half a character as a key": b'{"\\ud800": 1, "client_id": 5, "client": 5}',
        "NUL": b'{"client_id": "a\\u0000", "client": "a\\u0000", "label": "a\\u0000", "reason": "a\\u0000"}',
        "line breaks": b'{"client_id": "a\\r\\nX-Injected: 1", "client": "a\\r\\nX-Injected: 1", "label": "a\\r\\nb", "reason": 1}',
        "too long": as_json(dict.fromkeys(("client_id", "client", "label", "reason"), "x" * 30000)),
        "UTF-16": '{"client_id": 5}'.encode("utf-16"),
        "bytes that are no text": b'{"client_id": "\xff\xfe", "client": "\xff\xfe"}',
        "comments": b'{"client_id": "a" /* */}',
        "prototype": b'{"__proto__": {"role": "admin"}, "client_id": [], "client": [], "constructor": {}}',
    }  # fmt: skip
    targets = {
        "next case": ("POST", "/activelearning/random", own),
        "assignment": ("POST", "/api/v1/examinations/assign", own),
        "assignment by its old name": ("POST", "/api/v1/examinations/hand-out", own),
        "app password": ("POST", "/auth/app-passwords", own),
        "unusable": ("POST", f"/api/v1/examinations/{s.examination}/unusable", own),
        "decision": ("POST", f"/api/v1/annotations/{s.annotation}/reject", robot),
    }
    found = {
        f"{where}: {what}": request(method, target, who, JSON, body=body)
        for where, (method, target, who) in targets.items()
        for what, body in bodies.items()
    }
    put, infer = f"/datastore/label?image={s.own_ticket}", f"/infer/mrseg?image={s.own_ticket}"
    for what, body in bodies.items():
        found[f"params of a label: {what}"] = upload(
            "PUT", put, own, name="a.nii.gz", content=s.label, field="label", params=body
        )
        if what not in ("half a character as a key",):
            found[f"params of an upload: {what}"] = upload(
                "PUT", "/datastore/image?image=a", own, name="a.nii.gz", content=b"x", params=body
            )
    waits: list[Any] = [-1, "x", [], {}, 10**400, float("nan"), float("inf"), 601, "1e999", None]
    for wait in waits:
        found[f"wait_seconds {str(wait)[:9]}"] = request(
            "POST", infer, own, MULTIPART, body=form(part('form-data; name="params"', as_json({"wait_seconds": wait})))
        )
    for key, value in (("result_extension", "../x"), ("result_extension", ["a"]), ("result_extension", {"a": 1}),
                       ("result_dtype", "object"), ("result_dtype", {}), ("result_extension", []), ("result_dtype", 0), ("client_id", "a\r\nX-Injected: 1")):  # fmt: skip
        found[f"{key} {value}"] = request(
            "POST", infer, own, MULTIPART, body=form(part('form-data; name="params"', as_json({key: value})))
        )
    names = [{"name": name} for name in s.server.workspace.scheme.label_names]
    for what, info in {
        "SQL as a name": [{"name": SQL[2]}, *names[1:]],
        "path as a name": [{"name": "../../etc/passwd"}, *names[1:]],
        "line break as a name": [{"name": "spleen\r\nX-Injected: 1"}, *names[1:]],
        "half a character as a name": [{"name": "\ud800"}, *names[1:]],
        "NUL as a name": [{"name": "spleen\0"}, *names[1:]],
        "nested": [[[[names]]]],
        "a number": 7,
        "a hundred thousand": names * 3000,
    }.items():
        found[f"label_info: {what}"] = upload(
            "PUT", put, own, name="a.nii.gz", content=s.label, field="label", params={"label_info": info}
        )
    return found


def test_malformed_json_is_refused(scene: Scene) -> None:
    check_refused(scene, malformed_json(scene), 150)


def test_no_trace_is_left(scene: Scene) -> None:
    check_no_trace(scene)
