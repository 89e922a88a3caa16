"""Every setting changes what its description says: no key may be documented and unused.

A new setting needs an entry in EFFECTS: lines for ``mrseg.toml``, and what the code that uses the setting does under
each of them. The table is compared with the settings.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from mrseg_label import logs
from mrseg_label.accounts.oidc.claims import provider_user_of
from mrseg_label.accounts.oidc.provider import Provider
from mrseg_label.accounts.sign_in import SignIn
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import blind_readings
from mrseg_label.catalog.queries.effort import Dimension
from mrseg_label.catalog.queries.held_out import CaseOrigin
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Assignment, Evaluation, Job, ModelVersion
from mrseg_label.catalog.types import Channel
from mrseg_label.clock import now
from mrseg_label.config import tls_files
from mrseg_label.dicomweb import DicomwebServer
from mrseg_label.dicomweb.session import Guard, address_of, open_session
from mrseg_label.errors import MrsegError, Stalled
from mrseg_label.http import server
from mrseg_label.http.middleware import middleware_stack
from mrseg_label.http.permission_table import permission_table
from mrseg_label.http.public_address import public_prefix
from mrseg_label.jobs import JobContext, claim, enqueue, queue
from mrseg_label.maintenance.checks.settings import require_settings
from mrseg_label.nnunet.gpus import Gpu, GpuSlots
from mrseg_label.nnunet.run import TrainingProgress
from mrseg_label.nnunet.stalling import StallWatch
from mrseg_label.notifications import mail
from mrseg_label.notifications.message import Message
from mrseg_label.notifications.sending import configured_channels
from mrseg_label.notifications.webhook import signed_headers
from mrseg_label.presegmentation import audit_annotations
from mrseg_label.presegmentation.clean_up import steps_of
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.presegmentation.presegment_pending import enqueue_pending_presegmentations
from mrseg_label.presegmentation.sources import choose_source
from mrseg_label.presegmentation.weights import find_weights
from mrseg_label.private import access_of_this_process
from mrseg_label.reports.blind_readings import read_gold
from mrseg_label.reports.effort import read_effort_by
from mrseg_label.rounds.evaluation import Scores
from mrseg_label.rounds.publishing import decide_promotion
from mrseg_label.rounds.service import start_if_due, start_in_transaction
from mrseg_label.rounds.training_values import RoundKind, choose_training_values
from mrseg_label.worker.placement import Placement
from mrseg_label.worker.supervise import WorkerPool
from mrseg_label.worklist import blind
from mrseg_label.workspace import Workspace
from tests.support.annotation_house import draft_array, make_house
from tests.support.catalog_rows import add_acquisition, add_annotation, add_participant
from tests.support.receivers import mail_server
from tests.support.worklist_cases import fill, take

ALL_STEPS = ["places", "edges", "sides", "components"]
ENSEMBLE = ModelVersion(version="r1", metrics={"folds": [0, 3], "best_fold": 3})


See = Callable[[OpenedWorkspace], Any]
ISSUER = 'OIDC_ISSUER = "https://id.example"\nOIDC_CLIENT_ID = "mrseg"\n'
CLAIMS = {
    "sub": "1",
    "preferred_username": "ada",
    "email": "ada@hospital.example",
    "realm_access": {"roles": ["staff", "monailabel-annotator"]},
    "groups": ["monailabel-admin"],
}


def problem(run: Callable[[], object]) -> str:
    """The message of the error that a call ends in; empty if there is none."""
    try:
        run()
    except MrsegError as error:
        return str(error)
    return ""


def due(workspace: OpenedWorkspace) -> int | None:
    """The round that two newly annotated cases start."""
    with workspace.catalog.begin() as session:
        for number in range(2):
            add_annotation(session, add_acquisition(session, add_participant(session, f"p{number}", held_out=False)))
        return start_if_due(session, workspace.settings)


def audits(workspace: OpenedWorkspace) -> object:
    """What the job reports that compares a promoted model with the annotations."""
    with workspace.catalog.begin() as session:
        job = enqueue(session, queue.AUDIT_ANNOTATIONS, {"model_version": "r1"}, key="r1").id
    claimed = claim(workspace.catalog, [queue.DRAFTS])
    assert claimed is not None
    audit_annotations.run(JobContext(workspace, claimed, {}))
    with workspace.catalog.read() as session:
        return session.get_one(Job, job).result


def profile(workspace: OpenedWorkspace) -> str:
    with workspace.catalog.begin() as session:
        return start_in_transaction(session, workspace.settings, actor="test").profile


def trains(key: str, warm: bool = False) -> See:
    """A value with which a round trains, the first one or one that continues another."""

    def see(workspace: OpenedWorkspace) -> object:
        kind = RoundKind.CONTINUED if warm else RoundKind.FINAL
        return choose_training_values(workspace.settings, kind, 7).get(key)

    return see


def clean_up_steps(workspace: OpenedWorkspace) -> list[str]:
    return [str(step) for step in steps_of(workspace.settings)]


def drafts_ahead(workspace: OpenedWorkspace) -> int:
    fill(workspace.catalog, 4)
    with workspace.catalog.begin() as session:
        return enqueue_pending_presegmentations(session, workspace.settings, now())


def hours_of_a_case(workspace: OpenedWorkspace) -> int:
    fill(workspace.catalog, 1)
    take(workspace)
    with workspace.catalog.read() as session:
        assignment = session.query(Assignment).one()
    return round((assignment.expires_at - assignment.created_at).total_seconds() / 3600)


def archive_sign_in(workspace: OpenedWorkspace) -> str | None:
    """How a request to the archive says who sends it."""
    settings = workspace.settings
    session = open_session(settings, address_of(settings, "https://127.0.0.1/rs"), Guard(lambda: None))
    sent = session.prepare_request(requests.Request("GET", "https://127.0.0.1/rs")).headers.get("Authorization")
    return None if sent is None else str(sent)


def sent(workspace: OpenedWorkspace) -> str:
    """What becomes of a submission that judges spleen and liver."""
    text = (workspace.root / "mrseg.toml").read_text()
    for house in make_house(workspace.root / "house", text):
        try:
            return str(house.send(draft_array(), "spleen", "a", "b", "c", "liver").state)
        except MrsegError as error:
            return str(error)
    raise AssertionError


def limits(workspace: OpenedWorkspace) -> tuple[object, object]:
    stack = middleware_stack(workspace.settings, workspace.catalog, None, permission_table())
    (found,) = [item for item in stack if item.kwargs.keys() >= {"megabytes", "idle_seconds"}]
    return found.kwargs["megabytes"], found.kwargs["idle_seconds"]


def person(workspace: OpenedWorkspace) -> tuple[str, str] | str:
    try:
        user = provider_user_of(CLAIMS, workspace.settings, "https://id.example")
    except MrsegError as error:
        return str(error)
    return user.name, str(user.role)


def setting(name: str) -> See:
    """The value that the code which asks the identity provider is given."""

    def see(workspace: OpenedWorkspace) -> object:
        value = getattr(Provider(workspace.settings)._settings, name)
        return value.get_secret_value() if name == "oidc_client_secret" else value

    return see


def image_limit(workspace: OpenedWorkspace) -> str:
    from mrseg_label.catalog.reader import Reader
    from mrseg_label.imaging import Geometry, write_nifti
    from mrseg_label.intake.uploads import register_upload

    voxels = np.random.default_rng(0).integers(0, 900, (90, 90, 90)).astype(np.int16)
    file = workspace.root / "tmp" / "image.nii.gz"
    write_nifti(file, voxels, Geometry((90, 90, 90), np.diag((2.0, 2.0, 2.0, 1.0))))
    return problem(lambda: register_upload(workspace, Reader("ada", None), file, alias="image"))


def group_reads(workspace: OpenedWorkspace) -> bool:
    return bool((workspace.root / "images").stat().st_mode & 0o040)


GPU = Gpu(0, "GPU-of-a-test")


def shares(workspace: OpenedWorkspace) -> int:
    """How many rounds are claimed beside each other on one GPU."""
    placed = []
    for number in range(4):
        with workspace.catalog.begin() as session:
            enqueue(session, queue.TRAIN_ROUND, {"round": number}, key=str(number))
        placed.append(Placement(workspace, [GPU], workspace.root / "gpus").claim([queue.ROUNDS]))
    for one in placed:
        if one is not None:
            one[2]()
    return sum(one is not None for one in placed)


def drafts_beside_each_other(workspace: OpenedWorkspace) -> int:
    """How many of three workers make a draft on one GPU at the same time."""
    with workspace.catalog.begin() as session:
        for number in range(3):
            enqueue(session, queue.PRESEGMENT, {}, key=str(number))
    workers = [Placement(workspace, [GPU], workspace.root / "gpus") for _ in range(3)]
    return sum(worker.claim([queue.DRAFTS]) is not None for worker in workers)


def draft_beside_training(workspace: OpenedWorkspace) -> str:
    """Where a draft is made while a training holds the GPU."""
    with workspace.catalog.begin() as session:
        enqueue(session, queue.PRESEGMENT, {}, key="draft")
    training = GpuSlots([GPU], folder=workspace.root / "gpus").take()
    assert training is not None
    placed = Placement(workspace, [GPU], workspace.root / "gpus").claim([queue.DRAFTS])
    training.release()
    return "not made" if placed is None else placed[1].settings.device


MAIL = 'NOTIFY_EMAIL = "it@hospital.example"\nSMTP_SECURITY = "none"\n'


def posted(workspace: OpenedWorkspace, **changes: object) -> str:
    """The mail that the hospital's server gets, or why it gets none."""
    with mail_server() as received:
        changes = {"smtp_host": "127.0.0.1", "smtp_port": received.port} | changes
        settings = workspace.settings.model_copy(update=changes)
        wrong = problem(lambda: mail.send(settings, Message("nt-1", "test", "A test.", now())))
        return wrong or received.mails[0]


def mail_port(workspace: OpenedWorkspace) -> bool:
    """Whether the mail server is called at the port of the settings."""
    settings = workspace.settings.model_copy(update={"smtp_host": "127.0.0.1"})
    with socket.create_server(("127.0.0.1", settings.smtp_port)) as listening:
        listening.settimeout(5)
        thread = threading.Thread(target=lambda: listening.accept()[0].close())
        thread.start()
        wrong = problem(lambda: mail.send(settings, Message("nt-1", "test", "A test.", now())))
        thread.join()
    return "refused" not in wrong and "closed" in wrong


def until_it_hangs(workspace: OpenedWorkspace) -> bool:
    """Whether work that says nothing for a fifth of a second is ended."""
    watch = StallWatch(workspace.settings.stall_minutes * 60, lambda: 0.0)
    for _ in range(20):
        time.sleep(0.01)
        try:
            watch.check(TrainingProgress("training"))
        except Stalled:
            return True
    return False


# For each setting: lines of mrseg.toml, and what is seen under them; a text is looked for in what is seen.
def promoted(workspace: OpenedWorkspace) -> bool:
    """Whether a model is promoted that is better in one participant, but worse in one group of structures."""
    region = workspace.scheme[workspace.scheme.names[-1]].region
    drop = {structure.name: 0.1 if structure.region == region else -0.3 for structure in workspace.scheme}
    return _promoted(workspace, drop, None)


def promoted_on_its_drafts(workspace: OpenedWorkspace) -> bool:
    """Whether a model is promoted that is a little worse on a label that was corrected from a draft of the current one."""
    return _promoted(workspace, dict.fromkeys(workspace.scheme.names, 0.04), "old")


def _promoted(workspace: OpenedWorkspace, drop: dict[str, float], drafted_by: str | None) -> bool:
    names = workspace.scheme.names
    scores = [
        Scores(
            version,
            (
                Evaluation(
                    model_version=version, annotation_id="an", examination_id="ex", apart={},
                    dsc={name: 0.5 - sign * drop[name] for name in names},
                ),
            ),
        )
        for version, sign in (("new", 1), ("old", 0))
    ]  # fmt: skip
    origins = {"an": CaseOrigin("p1", drafted_by)}
    decision, _ = decide_promotion(scores[0], scores[1], origins, workspace.scheme, workspace.settings)
    return decision.promoted


def comes_again(workspace: OpenedWorkspace) -> bool:
    """Whether a reader may get a case again that was just finished."""
    with workspace.catalog.begin() as session:
        case = add_acquisition(session, add_participant(session, "P1"))
        annotation = add_annotation(session, case)
        moment = workspace.catalog.now(session)
        row = Assignment(
            ticket="t", acquisition_id=case.id, client="ada", account="ada", expires_at=moment, ended_at=moment
        )
        session.add(row)
        session.flush()
        annotation.author, annotation.assignment_id, annotation.created_at = "ada", row.id, moment
        session.flush()
        after = timedelta(days=workspace.settings.repeat_after_days)
        return blind_readings.next_repeat(session, moment, Reader("ada", "ada"), after) is not None


EFFECTS: dict[str, tuple[See, dict[str, object]]] = {
    "database_url": (
        lambda w: Workspace(w.root, w.settings.model_copy(update={"database_url": "postgresql://db/x"})).database_url.host,
        {"": "db"},
    ),
    "database_password": (
        lambda w: Workspace(w.root, w.settings.model_copy(update={"database_url": "postgresql://db/x"})).database_url.password,
        {"": None, 'DATABASE_PASSWORD = "a/b"': "a/b"},
    ),
    "log_format": (
        lambda w: logs.formatter(w.settings.log_format).format(logging.makeLogRecord({"msg": "x", "levelname": "INFO"}))[0],
        {'LOG_FORMAT = "json"': "{", "": "2"},
    ),
    "round_size": (due, {"ROUND_SIZE = 2": 1, "ROUND_SIZE = 3": None}),
    "round_counts": (due, {"ROUND_SIZE = 3": None, 'ROUND_SIZE = 8\nROUND_COUNTS = "examinations"': 1, 'ROUND_SIZE = 9\nROUND_COUNTS = "examinations"': None}),
    "auto_round": (due, {"ROUND_SIZE = 2": 1, "ROUND_SIZE = 2\nAUTO_ROUND = false": None}),
    "training_profile": (profile, {"": "full", 'TRAINING_PROFILE = "tiny"': "tiny"}),
    "bootstrap_sources": (
        lambda w: str(choose_source("T1", w.settings.bootstrap_sources)),
        {"": "inverted", 'BOOTSTRAP_SOURCES = "T1=total_mr"': "total_mr"},
    ),
    "mixture": (
        lambda w: w.settings.mixed_sources,
        {"": ["bootstrap", "previous"], 'MIXTURE = "r1, previous"': ["r1", "previous"], 'MIXTURE = ""': []},
    ),
    "presegmentation": (drafts_ahead, {"": 8, 'PRESEGMENTATION = "off"': 0}),
    **{
        f"clean_up_{step}": (
            clean_up_steps,
            {"": ALL_STEPS, f"[clean_up]\n{step} = false  # CLEAN_UP_{step.upper()}": [one for one in ALL_STEPS if one != step]},
        )
        for step in ALL_STEPS
    },
    "prepare_ahead": (drafts_ahead, {"": 8, "PREPARE_AHEAD = 3": 3, "PREPARE_AHEAD = 0": 0}),
    "lease_hours": (hours_of_a_case, {"": 24, "LEASE_HOURS = 3": 3}),
    "review": (sent, {"": "accepted", 'REVIEW = "required"': "submitted"}),
    "required_structures": (
        sent,
        {'REQUIRED_STRUCTURES = "liver"': "accepted", 'REQUIRED_STRUCTURES = "heart"': "must judge heart"},
    ),
    "auth": (
        lambda w: " ".join(server.find_warnings(w, "10.0.0.1")),
        {"": "There are no accounts yet", 'AUTH = "off"': "will answer requests from other machines to 10.0.0.1 with 403"},
    ),
    "token_hours": (
        lambda w: SignIn(w.catalog, w.settings.token_hours, w.settings.app_password_days).token_seconds,
        {"": 36_000, "TOKEN_HOURS = 2": 7_200},
    ),
    "app_password_days": (
        lambda w: SignIn(w.catalog, w.settings.token_hours, w.settings.app_password_days)._provider_days.days,
        {"": 30, "APP_PASSWORD_DAYS = 7": 7},
    ),
    "trusted_proxies": (
        lambda w: " ".join(server.find_warnings(w, "10.0.0.1")),
        {"": "Without TLS", 'TRUSTED_PROXIES = "10.0.0.2"': "There are no accounts yet"},
    ),
    "tls_certificate": (
        lambda w: problem(lambda: tls_files(w.settings)),
        {"": "", 'TLS_CERTIFICATE = "c.pem"\nTLS_KEY = "k.pem"': "TLS_CERTIFICATE c.pem"},
    ),
    "tls_key": (
        lambda w: problem(lambda: tls_files(w.settings)),
        {'TLS_CERTIFICATE = "c.pem"\nTLS_KEY = "k.pem"': "TLS_KEY k.pem", 'TLS_KEY = "k.pem"': "only one is set"},
    ),
    "public_url": (
        lambda w: public_prefix(w.settings),
        {"": "", 'PUBLIC_URL = "https://pacs.example/mrseg/"': "/mrseg"},
    ),
    "dicomweb_url": (
        lambda w: DicomwebServer(w.settings).address,
        {'DICOMWEB_URL = "https://127.0.0.1/rs/"': "https://127.0.0.1/rs", 'DICOMWEB_URL = "http://127.0.0.1/x"': "http://127.0.0.1/x"},
    ),
    "dicomweb_user": (archive_sign_in, {'DICOMWEB_USER = "anna"\nDICOMWEB_PASSWORD = "p"': "Basic YW5uYTpw", "": None}),
    "dicomweb_password": (archive_sign_in, {'DICOMWEB_USER = "a"\nDICOMWEB_PASSWORD = "p"': "Basic YTpw", "": None}),
    "dicomweb_token": (archive_sign_in, {'DICOMWEB_TOKEN = "t"': "Bearer t", "": None}),
    "dicomweb_certificate": (
        lambda w: problem(lambda: DicomwebServer(w.settings, "https://127.0.0.1/rs")),
        {"": "", 'DICOMWEB_CERTIFICATE = "/none.pem"': "DICOMWEB_CERTIFICATE: there is no file /none.pem"},
    ),
    "dicomweb_key": (
        lambda w: problem(lambda: DicomwebServer(w.settings, "https://127.0.0.1/rs")),
        {"": "", 'DICOMWEB_KEY = "/none.pem"': "DICOMWEB_KEY is set, but not DICOMWEB_CERTIFICATE; set both, or neither"},
    ),
    "dicomweb_ca": (
        lambda w: problem(lambda: DicomwebServer(w.settings, "https://127.0.0.1/rs")),
        {"": "", 'DICOMWEB_CA = "/none.pem"': "DICOMWEB_CA: there is no file /none.pem"},
    ),
    "notify_webhook": (
        lambda w: configured_channels(w.settings),
        {"": [], 'NOTIFY_WEBHOOK = "https://chat.example/x"': [Channel.WEBHOOK]},
    ),
    "notify_webhook_secret": (
        lambda w: "webhook-signature" in signed_headers(w.settings, "nt-1", 1, b"{}"),
        {"": False, 'NOTIFY_WEBHOOK_SECRET = "x"': True},
    ),
    "notify_email": (posted, {MAIL: "To: it@hospital.example"}),
    "smtp_host": (
        lambda w: posted(w, smtp_host=w.settings.smtp_host),
        {MAIL + 'SMTP_HOST = "127.0.0.1"': "A test.", MAIL + 'SMTP_HOST = "1.1.1.1"': "1.1.1.1 has the public"},
    ),
    "smtp_port": (mail_port, {MAIL + "SMTP_PORT = 43817": True}),
    "smtp_security": (
        posted,
        {MAIL: "A test.", MAIL.replace("none", "starttls"): "STARTTLS", MAIL.replace("none", "tls"): "SSL"},
    ),
    "smtp_user": (posted, {MAIL + 'SMTP_USER = "u"\nSMTP_PASSWORD = "p"': "AUTH", MAIL: "A test."}),
    "smtp_password": (posted, {MAIL + 'SMTP_USER = "u"\nSMTP_PASSWORD = "p"': "AUTH", MAIL: "A test."}),
    "smtp_from": (posted, {MAIL + 'SMTP_FROM = "mrseg@hospital.example"': "From: mrseg@hospital.example"}),
    "oidc_issuer": (setting("oidc_issuer"), {ISSUER: "https://id.example"}),
    "oidc_client_id": (setting("oidc_client_id"), {ISSUER: "mrseg"}),
    "oidc_client_secret": (setting("oidc_client_secret"), {ISSUER + 'OIDC_CLIENT_SECRET = "x"': "x"}),
    "oidc_scopes": (setting("oidc_scopes"), {ISSUER + 'OIDC_SCOPES = "openid groups"': "openid groups"}),
    "oidc_name_claim": (
        person,
        {"": ("ada", "radiologist"), 'OIDC_NAME_CLAIM = "email"': ("ada@hospital.example", "radiologist")},
    ),
    "oidc_role_claim": (person, {"": ("ada", "radiologist"), 'OIDC_ROLE_CLAIM = "groups"': ("ada", "admin")}),
    "oidc_role_radiologist": (person, {'OIDC_ROLE_RADIOLOGIST = "readers"': "must list readers"}),
    "oidc_role_reviewer": (person, {'OIDC_ROLE_REVIEWER = "staff"': ("ada", "reviewer")}),
    "oidc_role_admin": (person, {'OIDC_ROLE_ADMIN = "staff"': ("ada", "admin")}),
    "training_epochs": (
        trains("epochs"),
        {"": 1000, "[training]\nepochs = 60  # TRAINING_EPOCHS": 60, "TRAINING_EPOCHS = 60": 60},
    ),
    "training_iterations_per_epoch": (
        trains("iterations_per_epoch"),
        {"": 250, "TRAINING_ITERATIONS_PER_EPOCH = 9": 9},
    ),
    "training_spacing_mm": (
        trains("target_spacing_mm"),
        {"": None, "TRAINING_SPACING_MM = 4": 4.0, "[training]\nspacing_mm = [2, 2.5, 5]": [2.0, 2.5, 5.0]},
    ),
    "training_folds": (trains("folds"), {"": 5, "TRAINING_FOLDS = 3": 3}),
    "training_learning_rate": (trains("peak_learning_rate"), {"": 0.01, "TRAINING_LEARNING_RATE = 0.02": 0.02}),
    "training_warm_start_epochs": (
        trains("epochs", warm=True),
        {"": 250, "[training]\nepochs = 400": 100, "TRAINING_WARM_START_EPOCHS = 50": 50},
    ),
    "training_warm_start_learning_rate": (
        trains("peak_learning_rate", warm=True),
        {"": 0.003, "TRAINING_WARM_START_LEARNING_RATE = 0.001": 0.001},
    ),
    "training_mirror_left_right": (
        trains("mirror_left_right"),
        {"": None, "[training]\nmirror_left_right = true  # TRAINING_MIRROR_LEFT_RIGHT": True},
    ),
    "training_inversion": (trains("inversion"), {"TRAINING_INVERSION = 0.2": 0.2}),
    "training_gamma": (trains("gamma"), {"TRAINING_GAMMA = 0.3": 0.3}),
    "training_small_structures": (
        trains("small_structure_exponent"),
        {"": None, "TRAINING_SMALL_STRUCTURES = 0.5": 0.5},
    ),
    "training_seed": (trains("seed"), {"": 7, "TRAINING_SEED = 3": 3}),
    "max_image_mb": (image_limit, {"": "", "MAX_IMAGE_MB = 1": "cannot be used"}),
    "max_upload_mb": (limits, {"MAX_UPLOAD_MB = 4": (4, 30.0)}),
    "request_idle_seconds": (limits, {"REQUEST_IDLE_SECONDS = 5": (2048, 5.0)}),
    "device": (
        lambda w: problem(lambda: require_settings(w, computes=True)),
        {"": "", 'DEVICE = "gpu"': "use cuda"},
    ),
    "weights_path": (
        lambda w: problem(lambda: require_settings(w, computes=True)),
        {"": "", 'WEIGHTS_PATH = "/nowhere"': "not a folder"},
    ),
    "totalseg_weights_path": (
        lambda w: problem(lambda: find_weights(w.settings.totalseg_weights_path)),
        {"": "", 'TOTALSEG_WEIGHTS_PATH = "/nowhere"': "/nowhere"},
    ),
    "promotion": (promoted, {"PROMOTION_MARGIN = 0.15": True, 'PROMOTION_MARGIN = 0.15\nPROMOTION = "clear"': False, 'PROMOTION_MARGIN = 0.15\nPROMOTION = "manual"': False}),
    "promotion_draft_advantage": (promoted_on_its_drafts, {"": True, "PROMOTION_DRAFT_ADVANTAGE = 0.03": False}),
    "promotion_margin": (promoted, {"PROMOTION_MARGIN = 0.15": True, "PROMOTION_MARGIN = 0.05": False}),
    "shared_with_group": (group_reads, {"": False, "SHARED_WITH_GROUP = true": True}),
    "dask_scheduler": (
        lambda w: (list(WorkerPool(w).queues), problem(lambda: require_settings(w, computes=False))),
        {
            "WORKERS = 0": ([], ""),
            'WORKERS = 0\nDASK_SCHEDULER = "tcp://10.0.0.5:8786"': "(['placer'], 'DASK_SCHEDULER is set, but the database on",
            'DASK_SCHEDULER = "10.0.0.5"': "(['drafts-0', 'placer'], \"DASK_SCHEDULER is '10.0.0.5'; write the address",
        },
    ),
    "trainings_per_gpu": (shares, {"": 1, "TRAININGS_PER_GPU = 3": 3}),
    "drafts_per_gpu": (drafts_beside_each_other, {"": 1, "DRAFTS_PER_GPU = 2": 2}),
    "drafts_during_training": (
        draft_beside_training,
        {"": "cpu", 'DRAFTS_DURING_TRAINING = "wait"': "not made", 'DRAFTS_DURING_TRAINING = "share"': "auto"},
    ),
    "stall_minutes": (until_it_hangs, {"STALL_MINUTES = 0.001": True, "": False}),
    "workers": (
        lambda w: list(WorkerPool(w).queues),
        {"WORKERS = 0": [], "WORKERS = 2": ["drafts-0", "drafts-1", "rounds"]},
    ),
    "ensemble_drafts": (
        lambda w: LoadedModels(w).drafting_fold(ENSEMBLE),
        {"": None, 'ENSEMBLE_DRAFTS = "best"': 3},
    ),
    "without_draft_share": (
        lambda w: blind.withholds_draft(w.settings, "aq-1"),
        {"": None, "WITHOUT_DRAFT_SHARE = 0.5": blind.draw("draft", "aq-1") < 0.5},
    ),
    "audit_annotations": (audits, {"": {"annotations": 0}, 'AUDIT_ANNOTATIONS = "off"': {}}),
    "pause_minutes": (
        lambda w: "above 7 minutes" in read_effort_by(w, [Dimension.READER]).rules["seconds"],
        {"": False, "PAUSE_MINUTES = 7": True},
    ),
    "repeat_share": (lambda w: w.settings.blinds_readers, {"": False, "REPEAT_SHARE = 0.1": True}),
    "repeat_after_days": (comes_again, {"": False, "REPEAT_AFTER_DAYS = 0": True}),
    "gold_share": (lambda w: w.settings.blinds_readers, {"": False, "GOLD_SHARE = 0.1": True}),
    "qualification_cases": (lambda w: read_gold(w).qualification_cases, {"": 0, "QUALIFICATION_CASES = 2": 2}),
    "qualification_dsc": (lambda w: read_gold(w).qualification_dsc, {"": 0.8, "QUALIFICATION_DSC = 0.9": 0.9}),
    "round_workers": (
        lambda w: list(WorkerPool(w).queues),
        {"": ["drafts-0", "rounds"], "ROUND_WORKERS = 2": ["drafts-0", "rounds", "rounds-1"]},
    ),
}  # fmt: skip
CASES = [(name, text, expected) for name, (_, cases) in EFFECTS.items() for text, expected in cases.items()]


def test_every_setting_has_an_effect() -> None:
    from mrseg_label.config import Settings

    assert set(EFFECTS) == set(Settings.model_fields), "add an entry to EFFECTS that shows what the setting changes"
    names = {name: " ".join(cases) for name, (_, cases) in EFFECTS.items()}
    assert [name for name, text in names.items() if name.upper() not in text] == ["database_url"]


@pytest.mark.parametrize(("name", "text", "expected"), CASES, ids=[f"{name}: {text[-40:]}" for name, text, _ in CASES])
def test_settings_change_what_they_say(
    tmp_path: Path, name: str, text: str, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOTALSEG_WEIGHTS_PATH", raising=False)
    with access_of_this_process():  # which a workspace that a group shares changes
        Workspace.init(tmp_path / "ws", settings_text=f"{text}\n")
        with closing(open_workspace(tmp_path / "ws")) as workspace:
            seen = EFFECTS[name][0](workspace)
    if isinstance(expected, str) and expected:
        assert expected in str(seen)
    else:
        assert seen == expected
