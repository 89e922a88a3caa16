"""The permission of every route, in one table that the middleware, the OpenAPI document and docs/access.md share."""

from __future__ import annotations

from mrseg_label.catalog.types import Role, Scope
from mrseg_label.http import paths
from mrseg_label.http.permissions import Permission, PermissionTable

EVERY_ROLE = frozenset(Role)
READERS = frozenset({Role.RADIOLOGIST, Role.REVIEWER, Role.ADMIN})
REVIEWERS = frozenset({Role.REVIEWER, Role.ADMIN})
PROGRAMS = frozenset({Role.SERVICE, Role.ADMIN})
ADMINS = frozenset({Role.ADMIN})

_NO_EFFECT = "Neither starts nor stops a round"
_OWN_CASES = "Radiologists: cases assigned to them"
_OWN = "Only your own"
_OWN_PAGE = "Only from the server's own pages"
_OWN_ANNOTATIONS = "Radiologists: only their own"
_TO_REVIEW = "Reviewers: only what awaits review"
_AS_THE_LISTS = "Each event only where its document may be read"
_NOT_BLINDED = "Not radiologists where some of their cases measure agreement"
_VIEWED = (
    f"{_OWN_CASES}, and only their own annotations. Nobody sees other readings while they read a case independently"
)


def _file(
    path: str, roles: frozenset[Role], scope: Scope | None = None, note: str = ""
) -> tuple[Permission, Permission]:
    """Permit the download of a file; HEAD has a route of its own, which reads nothing of it."""
    return (
        Permission("GET", path, roles, note=note, scope=scope),
        Permission("HEAD", path, roles, note=note, scope=scope),
    )


PROTOCOL = (
    Permission("GET", "/", None),
    Permission("GET", "/openapi.json", None),
    Permission("GET", paths.API_DOCS, None),
    *(Permission("GET", file, None) for file in paths.API_DOCS_FILES),
    Permission("GET", "/auth/", None),
    Permission("POST", "/auth/token", None),
    Permission("GET", "/auth/token/valid", EVERY_ROLE),
    Permission("DELETE", "/auth/token", EVERY_ROLE),
    Permission("GET", "/auth/app-passwords", READERS, note=_OWN),
    Permission("POST", "/auth/app-passwords", READERS, note=_OWN),
    Permission("DELETE", "/auth/app-passwords/{credential}", READERS, note=_OWN),
    Permission("GET", "/info/", EVERY_ROLE),
    Permission("POST", "/activelearning/{strategy}", READERS),
    Permission(
        "GET",
        "/datastore/",
        EVERY_ROLE,
        note="`output=all`: your own cases, and to reviewers those to review; `output=train`: admins and programs",
    ),
    Permission("PUT", "/datastore/", READERS, upload=True),
    Permission("PUT", "/datastore/image", READERS, upload=True),
    Permission("GET", "/datastore/image", READERS, ticket=True, note=_OWN_CASES),
    Permission("HEAD", "/datastore/image", READERS, ticket=True, note=_OWN_CASES),
    Permission("GET", "/datastore/image/info", READERS, note=_OWN_CASES),
    Permission(
        "PUT", "/datastore/label", READERS, upload=True, note="Radiologists: cases that are or were assigned to them"
    ),
    Permission("GET", "/datastore/label", READERS, note=_OWN_CASES),
    Permission("PUT", "/datastore/updatelabelinfo", REVIEWERS, note="Not about your own annotations"),
    Permission("DELETE", "/datastore/label", REVIEWERS, note="Withdraws an annotation"),
    Permission("HEAD", "/datastore/label", READERS, note=_OWN_CASES),
    Permission("GET", "/datastore/label/info", READERS, note=_OWN_CASES),
    Permission("POST", "/infer/{model}", READERS, upload=True, note=_OWN_CASES),
    Permission("GET", "/train/", EVERY_ROLE),
    Permission("POST", "/train/", READERS, note=_NO_EFFECT),
    Permission("POST", "/train/{model}", READERS, note=_NO_EFFECT),
    Permission("DELETE", "/train/", READERS, note=_NO_EFFECT),
    Permission("PUT", "/session/", READERS, upload=True),
    Permission("GET", "/session/{session_id}", READERS, note=_OWN),
    Permission("DELETE", "/session/{session_id}", READERS, note=_OWN),
)


def _page(path: str, roles: frozenset[Role] = READERS, note: str = "") -> Permission:
    """Permit a page; a browser without a sign-in is redirected to it."""
    return Permission("GET", path, roles, note=note, sign_in_page=paths.SIGN_IN)


def _form(path: str, roles: frozenset[Role], note: str = "") -> Permission:
    """Permit the form of a page."""
    return Permission("POST", path, roles, note=note or _OWN_PAGE, sign_in_page=paths.SIGN_IN)


PAGES = (
    Permission("GET", paths.STYLE, None),
    Permission("GET", paths.SCRIPT, None),
    Permission("GET", paths.LIVE_SCRIPT, None),
    Permission("GET", paths.CHART_SCRIPT, None),
    Permission("GET", paths.UPLOAD_SCRIPT, None),
    Permission("GET", paths.ICON, None),
    Permission("GET", paths.NIIVUE, None),
    Permission("GET", paths.VIEWER, None),
    _page(paths.DASHBOARD),
    _page(paths.CHART),
    _page(paths.MODELS),
    _page(paths.STUDY_REPORT, ADMINS),
    _form(paths.ROLL_BACK, ADMINS),
    _page(paths.MODEL),
    _form(paths.PROMOTE, ADMINS),
    _form(paths.TRY_MODEL, ADMINS),
    Permission("POST", paths.IMPORT_MODEL, ADMINS, upload=True, note=_OWN_PAGE, sign_in_page=paths.SIGN_IN),
    _page(paths.COMPARE),
    _page(paths.CHOOSE_COMPARISON),
    _page(paths.ROUNDS),
    _form(paths.ROUNDS, ADMINS),
    _page(paths.ROUND),
    _page(paths.CHART_OF_ROUND),
    _form(paths.CANCEL_ROUND, ADMINS),
    _form(paths.RETRY_ROUND, ADMINS),
    _page(paths.EFFORT, REVIEWERS),
    _page(paths.CHART_OF_EFFORT, REVIEWERS),
    _page(paths.MINE, note=_OWN),
    _form(paths.OPEN_MINE, READERS, note=f"{_OWN}. {_OWN_PAGE}"),
    _form(paths.RETURN_MINE, READERS, note=f"{_OWN}. {_OWN_PAGE}"),
    _form(paths.UNUSABLE_MINE, READERS, note=f"{_OWN_CASES}. {_OWN_PAGE}"),
    _page(paths.EXAMINATIONS),
    _form(paths.SEARCH_PARTICIPANT, READERS),
    _form(paths.ACT_ON_EXAMINATIONS, ADMINS),
    _page(paths.EXAMINATION, note=_OWN_ANNOTATIONS),
    _form(paths.EXCLUDE, ADMINS),
    _form(paths.INCLUDE, ADMINS),
    _form(paths.DECIDE_CHANNEL, ADMINS),
    _page(paths.IMPORT, ADMINS),
    _form(paths.IMPORT, ADMINS),
    _form(paths.ASK_ARCHIVE, ADMINS),
    _form(paths.SEND_TO_ARCHIVE, ADMINS),
    Permission("POST", paths.SEND_IMAGES, ADMINS, upload=True, note=_OWN_PAGE, sign_in_page=paths.SIGN_IN),
    _page(paths.VIEW, note=_VIEWED),
    _page(paths.VIEW_IMAGE, note=_OWN_CASES),
    _page(paths.VIEW_MASK, note=_VIEWED),
    _page(paths.VIEW_DIFFERENCES, note=_VIEWED),
    _page(paths.SLICES, note=_VIEWED),
    _page(paths.SLICE, note=_VIEWED),
    _page(paths.QUALITY, REVIEWERS),
    _page(paths.AWAITING, REVIEWERS),
    _form(paths.ACCEPT, REVIEWERS),
    _form(paths.REJECT, REVIEWERS),
    _form(paths.OPEN_FOR_REVIEW, REVIEWERS),
    _form(paths.DISMISS, REVIEWERS, note=f"Not about your own annotations. {_OWN_PAGE}"),
    _form(paths.RESTORE_SUSPICIOUS, REVIEWERS),
    _form(paths.SEND_BACK, ADMINS),
    _page(paths.READERS, ADMINS),
    _form(paths.MARK_GOLD, ADMINS),
    _form(paths.UNMARK_GOLD, ADMINS),
    _form(paths.QUALIFY, ADMINS),
    _form(paths.DISQUALIFY, ADMINS),
    _page(paths.USERS, ADMINS),
    _form(paths.USERS, ADMINS),
    _form(paths.SET_ROLE, ADMINS),
    _form(paths.SET_PASSWORD, ADMINS),
    _form(paths.DISABLE_USER, ADMINS),
    _form(paths.ENABLE_USER, ADMINS),
    _form(paths.SIGN_OUT_USER, ADMINS),
    _form(paths.CREATE_KEY, ADMINS),
    _form(paths.REVOKE_CREDENTIAL, ADMINS),
    _page(paths.AUDIT, ADMINS),
    _page(paths.CONNECT),
    Permission("GET", paths.OIDC_LOGIN, None),
    Permission("GET", paths.OIDC_CALLBACK, None),
    Permission("GET", paths.SIGN_IN, None),
    Permission("POST", paths.SIGN_IN, None, note=_OWN_PAGE),
    _page(paths.ACCOUNT, note=_OWN),
    _form(paths.SIGN_OUT, READERS),
    _form(paths.APP_PASSWORDS, READERS, note=f"{_OWN}. {_OWN_PAGE}"),
    _form(paths.REVOKE, READERS, note=f"{_OWN}. {_OWN_PAGE}"),
    _form(paths.MAKE_REVIEW_ADDRESS, REVIEWERS, note=f"{_OWN}. {_OWN_PAGE}"),
)

OPERATION = (
    Permission("GET", "/healthz", None),
    Permission("GET", "/readyz", None),
    Permission("GET", "/metrics", PROGRAMS),
)

REST = (
    Permission("GET", f"{paths.REST}/models", EVERY_ROLE),
    Permission("POST", f"{paths.REST}/models", ADMINS, upload=True),
    Permission("GET", f"{paths.REST}/models/current", EVERY_ROLE),
    Permission("POST", f"{paths.REST}/models/rollback", ADMINS),
    Permission("GET", f"{paths.REST}/models/{{version}}", EVERY_ROLE),
    *_file(paths.ARCHIVE, PROGRAMS),
    Permission("GET", f"{paths.REST}/models/{{version}}/card", EVERY_ROLE),
    Permission("GET", f"{paths.REST}/models/{{version}}/compare/{{other}}", EVERY_ROLE),
    Permission("POST", f"{paths.REST}/models/{{version}}/try", ADMINS),
    Permission("POST", f"{paths.REST}/models/{{version}}/promote", ADMINS),
    Permission("GET", f"{paths.REST}/sources", EVERY_ROLE),
    Permission("GET", f"{paths.REST}/rounds", EVERY_ROLE),
    Permission("POST", f"{paths.REST}/rounds", ADMINS),
    Permission("GET", f"{paths.REST}/rounds/{{number}}", EVERY_ROLE),
    Permission("GET", f"{paths.REST}/rounds/{{number}}/cases", EVERY_ROLE),
    Permission("GET", f"{paths.REST}/rounds/{{number}}/folds/{{fold}}", EVERY_ROLE),
    Permission("POST", f"{paths.REST}/rounds/{{number}}/cancel", ADMINS),
    Permission("POST", f"{paths.REST}/rounds/{{number}}/retry", ADMINS),
    Permission("GET", paths.LOG_OF_ROUND, ADMINS),
    Permission("GET", f"{paths.REST}/jobs", ADMINS),
    Permission("GET", f"{paths.REST}/jobs/{{job}}", ADMINS),
    Permission("POST", f"{paths.REST}/jobs/{{job}}/retry", ADMINS),
    Permission("GET", f"{paths.REST}/examinations", EVERY_ROLE),
    Permission("POST", f"{paths.REST}/examinations/assign", READERS, note="For a review: reviewers and admins"),
    Permission("POST", f"{paths.REST}/examinations/hand-out", READERS, note="Deprecated: use `assign`"),
    Permission("POST", f"{paths.REST}/examinations/actions", ADMINS),
    Permission("GET", f"{paths.REST}/examinations/{{examination}}", EVERY_ROLE),
    Permission("PATCH", f"{paths.REST}/examinations/{{examination}}", ADMINS),
    Permission("GET", f"{paths.REST}/examinations/{{examination}}/annotations", EVERY_ROLE),
    Permission("GET", f"{paths.REST}/examinations/{{examination}}/stations", EVERY_ROLE),
    *_file(f"{paths.REST}/examinations/{{examination}}/image", REVIEWERS, Scope.IMAGES),
    *_file(f"{paths.REST}/examinations/{{examination}}/mask", REVIEWERS, Scope.MASKS),
    *_file(f"{paths.REST}/examinations/{{examination}}/whole-body", ADMINS),
    Permission("POST", f"{paths.REST}/examinations/{{examination}}/return", READERS),
    Permission("POST", f"{paths.REST}/examinations/{{examination}}/release", READERS, note="Deprecated: use `return`"),
    Permission("POST", f"{paths.REST}/examinations/{{examination}}/unusable", READERS, note=_OWN_CASES),
    Permission("GET", f"{paths.REST}/assignments", EVERY_ROLE, note=_OWN_ANNOTATIONS),
    Permission("GET", f"{paths.REST}/assignments/{{assignment}}", EVERY_ROLE, note=_OWN_ANNOTATIONS),
    Permission("GET", f"{paths.REST}/annotations", EVERY_ROLE, note=_OWN_ANNOTATIONS),
    Permission("GET", f"{paths.REST}/annotations/{{annotation}}", EVERY_ROLE, note=_OWN_ANNOTATIONS),
    *_file(f"{paths.REST}/annotations/{{annotation}}/mask", READERS, Scope.MASKS, _OWN_ANNOTATIONS),
    Permission("GET", f"{paths.REST}/annotations/{{annotation}}/compare/{{other}}", REVIEWERS),
    Permission("POST", f"{paths.REST}/annotations/{{annotation}}/accept", REVIEWERS),
    Permission("POST", f"{paths.REST}/annotations/{{annotation}}/reject", REVIEWERS),
    Permission("POST", f"{paths.REST}/annotations/{{annotation}}/send-back", ADMINS),
    Permission("POST", f"{paths.REST}/annotations/{{annotation}}/withdraw", READERS, note=_OWN_ANNOTATIONS),
    Permission("POST", f"{paths.REST}/annotations/{{annotation}}/restore", REVIEWERS),
    Permission("POST", f"{paths.REST}/dicomweb/search", ADMINS),
    Permission("POST", f"{paths.REST}/dicomweb/import", ADMINS),
    Permission("POST", f"{paths.REST}/dicomweb/send", ADMINS),
    Permission("GET", f"{paths.REST}/doubts", REVIEWERS),
    Permission("GET", f"{paths.REST}/suspicious", REVIEWERS),
    Permission("POST", f"{paths.REST}/suspicious/{{mask}}/dismiss", REVIEWERS, note="Not about your own annotations"),
    Permission("POST", f"{paths.REST}/suspicious/{{mask}}/restore", REVIEWERS),
    Permission("GET", f"{paths.REST}/agreement", REVIEWERS),
    Permission("GET", f"{paths.REST}/agreement/mine", READERS, note=_OWN),
    Permission("GET", f"{paths.REST}/mine", READERS, note=_OWN),
    *_file(f"{paths.REST}/masks", REVIEWERS, Scope.MASKS),
    *_file(f"{paths.REST}/export", ADMINS),
    Permission("GET", f"{paths.REST}/notifications", REVIEWERS | PROGRAMS, note=_TO_REVIEW),
    Permission("GET", f"{paths.REST}/notifications/{{notification}}", REVIEWERS | PROGRAMS, note=_TO_REVIEW),
    Permission("GET", paths.EVENTS, EVERY_ROLE, note=_AS_THE_LISTS),
    Permission("HEAD", paths.EVENTS, EVERY_ROLE, note=_AS_THE_LISTS),
    Permission("GET", f"{paths.REST}/progress", EVERY_ROLE),
    Permission("GET", f"{paths.REST}/overview", PROGRAMS),
    Permission("GET", f"{paths.REST}/metrics/learning-curve", EVERY_ROLE, note=_NOT_BLINDED),
    Permission("GET", f"{paths.REST}/metrics/learning-curve/groups", EVERY_ROLE, note=_NOT_BLINDED),
    Permission("GET", f"{paths.REST}/metrics/effort", EVERY_ROLE, note=_NOT_BLINDED),
    Permission("GET", f"{paths.REST}/metrics/effort/groups", REVIEWERS | PROGRAMS),
    Permission("GET", f"{paths.REST}/metrics/draft-bias", ADMINS),
    Permission("GET", f"{paths.REST}/gold", ADMINS),
    Permission("POST", f"{paths.REST}/annotations/{{annotation}}/gold", ADMINS),
    Permission("DELETE", f"{paths.REST}/annotations/{{annotation}}/gold", ADMINS),
    Permission("POST", f"{paths.REST}/readers/{{name}}/qualify", ADMINS),
    Permission("POST", f"{paths.REST}/readers/{{name}}/disqualify", ADMINS),
    Permission("GET", f"{paths.REST}/audit", ADMINS),
)


def permission_table() -> PermissionTable:
    """Return the permissions of all routes."""
    return PermissionTable([*PROTOCOL, *PAGES, *OPERATION, *REST])
