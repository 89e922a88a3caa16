"""Forms that are malformed, oversized or declared as something else."""

from __future__ import annotations

import gzip
import os

from tests.support.hostile import FORM, JSON, MB, MULTIPART, form, part, request
from tests.support.hostile_scene import Scene, check_no_trace, check_refused


def malformed_forms(s: Scene) -> dict[str, bytes]:
    own, target = s.by(), f"/datastore/label?image={s.own_ticket}"
    good = part('form-data; name="label"; filename="a.nii.gz"', s.label)
    params = part('form-data; name="params"', b"{}")

    def put(body: bytes, kind: str = MULTIPART) -> bytes:
        return request("PUT", target, own, kind, body=body)

    inner = form(part('form-data; name="label"; filename="a.nii.gz"', b"x"), boundary=b"c")
    return {
        "no content type": request("PUT", target, own, body=form(good)),
        "no boundary": put(form(good), "Content-Type: multipart/form-data"),
        "empty boundary": put(form(good), 'Content-Type: multipart/form-data; boundary=""'),
        "wrong boundary": put(form(good), "Content-Type: multipart/form-data; boundary=other"),
        "boundary with a line break": put(form(good), "Content-Type: multipart/form-data; boundary=b%0d%0a"),
        "long boundary": put(form(good), f"Content-Type: multipart/form-data; boundary={'b' * 5000}"),
        "two content types": request("PUT", target, own, MULTIPART, JSON, body=form(good)[:40]),
        "charset that is none": put(form(params), MULTIPART + "; charset=undefined"),
        "charset that escapes": put(
            form(part('form-data; name="label"; filename="\\ud800.exe"', b"x")), MULTIPART + "; charset=unicode_escape"
        ),
        "no body": put(b""),
        "no end": put(form(part('form-data; name="label"; filename="a.nii.gz"', b"x"), end=False)),
        "preamble only": put(b"hello\r\n" * 100),
        "no disposition": put(b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n"),
        "no name": put(form(part('form-data; filename="a.nii.gz"', s.label))),
        "no file": put(form(params)),
        "file as text": put(form(part('form-data; name="label"', s.label))),
        "empty file": put(form(part('form-data; name="label"; filename="a.nii.gz"', b""), params)),
        "file under another name": put(form(part('form-data; name="labels"; filename="a.nii.gz"', s.label), params)),
        "params as a file": put(form(good, part('form-data; name="params"; filename="p"', b"{}"))),
        "params twice, the last is none": put(form(good, params, part('form-data; name="params"', b"[]"))),
        "thousands of fields": put(form(*[part(f'form-data; name="f{n}"', b"x") for n in range(3000)])),
        "thousands of files": put(form(*[part('form-data; name="label"; filename="a"', b"x") for _ in range(3000)])),
        "five files": put(form(*[part('form-data; name="label"; filename="a.nii.gz"', s.label)] * 5, params)),
        "fields of all kinds": put(form(good, params, *[part(f'form-data; name="f{n}"', b"x") for n in range(40)])),
        "forms within forms": put(form(part('form-data; name="label"', inner, "Content-Type: multipart/mixed; boundary=c"))),
        "huge field": put(form(good, part('form-data; name="params"', b" " * (2 * MB)))),
        "huge part header": put(form(part(f'form-data; name="{"n" * 100_000}"', b"x"))),
        "thousands of part headers": put(form(part('form-data; name="label"', b"x", *[f"X-{n}: 1" for n in range(5000)]))),
        "line break in a part header": put(form(part('form-data; name="label"\r\n\r\nX-Injected: 1', b"x"))),
        "NUL in the field's name": put(form(part('form-data; name="label\0"; filename="a.nii.gz"', s.label))),
        "binary": put(os.urandom(5000)),
        "url-encoded": put(b"label=x&params={}", FORM),
        "thousands of url-encoded fields": request(
            "POST", "/auth/token", FORM, body=b"&".join(b"f%d=x" % n for n in range(5000))
        ),
        "JSON instead of a form": put(b'{"label": "/etc/passwd"}', JSON),
        "gzip as transfer of the body": request("PUT", target, own, MULTIPART, "Content-Encoding: gzip", body=gzip.compress(form(good))),
        "session of many files": request(
            "PUT", "/session/", own, MULTIPART,
            body=form(*[part('form-data; name="files"; filename="a.nii.gz"', s.image)] * 3),
        ),
    }  # fmt: skip


def test_malformed_forms_are_refused(scene: Scene) -> None:
    check_refused(scene, malformed_forms(scene), 35)


def test_no_trace_is_left(scene: Scene) -> None:
    check_no_trace(scene)
