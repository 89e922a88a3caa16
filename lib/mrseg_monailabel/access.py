"""Who may use the routes of the MONAI Label protocol."""

from __future__ import annotations

from mrseg_label import api
from mrseg_label.api.access import EVERYBODY, READERS, Access, Rule, rest_rules
from mrseg_label.web import web_rules

_NOTHING = "Starts and stops nothing"
PROTOCOL = (
    Rule("GET", "/", None),
    Rule("GET", "/openapi.json", None),
    Rule("GET", "/auth/", None),
    Rule("POST", "/auth/token", None),
    Rule("GET", "/auth/token/valid", EVERYBODY),
    Rule("DELETE", "/auth/token", EVERYBODY),
    Rule("GET", "/auth/app-passwords", READERS, note="One's own"),
    Rule("POST", "/auth/app-passwords", READERS, note="One's own"),
    Rule("DELETE", "/auth/app-passwords/{credential}", READERS, note="One's own"),
    Rule("GET", "/info/", EVERYBODY),
    Rule("POST", "/activelearning/{strategy}", READERS),
    Rule("GET", "/datastore/", EVERYBODY, note="`output=all`: one's own cases; `output=train`: admins and programs"),
    Rule("PUT", "/datastore/", READERS, upload=True),
    Rule("PUT", "/datastore/image", READERS, upload=True),
    Rule("GET", "/datastore/image", READERS, ticket=True, note="Radiologists: cases in their hands"),
    Rule("HEAD", "/datastore/image", READERS, ticket=True, note="Radiologists: cases in their hands"),
    Rule("GET", "/datastore/image/info", READERS, note="Radiologists: cases in their hands"),
    Rule("PUT", "/datastore/label", READERS, upload=True, note="Radiologists: cases that are or were in their hands"),
    Rule("GET", "/datastore/label", READERS, note="Radiologists: cases in their hands"),
    Rule("HEAD", "/datastore/label", READERS, note="Radiologists: cases in their hands"),
    Rule("GET", "/datastore/label/info", READERS, note="Radiologists: cases in their hands"),
    Rule("POST", "/infer/{model}", READERS, upload=True, note="Radiologists: cases in their hands"),
    Rule("GET", "/train/", EVERYBODY),
    Rule("POST", "/train/", READERS, note=_NOTHING),
    Rule("POST", "/train/{model}", READERS, note=_NOTHING),
    Rule("DELETE", "/train/", READERS, note=_NOTHING),
    Rule("PUT", "/session/", READERS, upload=True),
    Rule("GET", "/session/{session_id}", READERS, note="One's own"),
    Rule("DELETE", "/session/{session_id}", READERS, note="One's own"),
)


def access() -> Access:
    """The rules of all routes."""
    return Access([*PROTOCOL, *web_rules(), *rest_rules(api.PREFIX)])
