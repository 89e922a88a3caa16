"""Wrong settings are named before a server or a worker starts, and by ``doctor``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mrseg_label.cli import main
from mrseg_label.config import load_settings
from mrseg_label.errors import ConfigurationError
from mrseg_label.maintenance.checks import State, check_workspace
from mrseg_label.maintenance.checks.settings import require_settings
from mrseg_label.presegmentation.weights import CHECKPOINT
from mrseg_label.workspace import Workspace

WRONG = {
    'REQUIRED_STRUCTURES = "liver, splen"': r"splen; did you mean spleen\?",
    'DEVICE = "gpu"': "DEVICE is 'gpu'; use cuda",
    'DEVICE = "cuda0"': "DEVICE is 'cuda0'; use cuda",
    'DEVICE = "tpu"': "DEVICE is 'tpu'; set it to auto, cpu",
    'DEVICE = "cuda:97"': r"DEVICE is 'cuda:97', but this machine has (no|\d+) GPU",
    'BOOTSTRAP_SOURCES = "in=invert"': r"'invert' is not a source; did you mean inverted\?",
    'MIXTURE = "bootstrap, r7"': "MIXTURE names 'r7', which is neither bootstrap nor previous nor a model version",
    'BOOTSTRAP_SOURCES = "inverted"': "is not of the form SEQUENCE=SOURCE",
    'TOTALSEG_WEIGHTS_PATH = "/nowhere/weights"': "TOTALSEG_WEIGHTS_PATH is /nowhere/weights, but .* is missing",
    'WEIGHTS_PATH = "/nowhere/weights"': "WEIGHTS_PATH is /nowhere/weights, which is not a folder",
    'WEIGHTS_PATH = "."': "WEIGHTS_PATH is ., but . holds 0 nnU-Net models",
    'TRUSTED_PROXIES = "pacs"': "TRUSTED_PROXIES.*not an address",
    'TLS_CERTIFICATE = "cert.pem"': "TLS_CERTIFICATE and TLS_KEY belong together",
    'TLS_CERTIFICATE = "/none.pem"\nTLS_KEY = "/none.key"': "TLS_CERTIFICATE /none.pem and TLS_KEY /none.key cannot be used",
    'OIDC_CLIENT_ID = "x"': "OIDC_CLIENT_ID without OIDC_ISSUER",
    'OIDC_ISSUER = "https://id.example"': "OIDC_ISSUER without OIDC_CLIENT_ID",
    'DATABASE_PASSWORD = "x"': "DATABASE_PASSWORD is set without DATABASE_URL",
    'PUBLIC_URL = "pacs"': "PUBLIC_URL is 'pacs'",
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), WRONG.items(), ids=[text.partition("\n")[0] for text in WRONG])
def test_what_cannot_work_is_named_before_the_start(
    tmp_path: Path, text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No driver answers, and torch, which takes seconds to load, finds no GPU.
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    workspace = Workspace.init(tmp_path / "ws", settings_text=f"{text}\n")
    with pytest.raises(ConfigurationError, match=message):
        require_settings(workspace, computes=True)
    found = check_workspace(workspace.root, verify=False, progress=lambda *_: None)
    assert [check.name for check in found if check.state is State.FAILED] != []


def test_all_wrong_settings_are_named_at_once(tmp_path: Path) -> None:
    text = 'DEVICE = "gpu"\nREQUIRED_STRUCTURES = "livr"\nBOOTSTRAP_SOURCES = "in=invert"\n'
    workspace = Workspace.init(tmp_path / "ws", settings_text=text)
    with pytest.raises(ConfigurationError, match=r"REQUIRED_STRUCTURES(.|\n)*BOOTSTRAP_SOURCES(.|\n)*DEVICE"):
        require_settings(workspace, computes=True)


@pytest.mark.parametrize("command", [["serve", "--port", "1"], ["worker"], ["doctor"]], ids=lambda command: command[0])
def test_commands_that_start_something_check_first(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Workspace.init(tmp_path / "ws", settings_text='AUTH = "off"\nREQUIRED_STRUCTURES = "liver,kindey_left"\n')
    with pytest.raises(SystemExit) as ended:
        main([*command, "--workspace", str(tmp_path / "ws")])
    assert ended.value.code in (1, 2)
    output = "".join(capsys.readouterr())
    assert "not in the label scheme: kindey_left; did you mean left_kidney?" in output and "Traceback" not in output
    assert "Serving" not in output


def test_a_server_without_workers_needs_no_gpu_and_no_weights(tmp_path: Path) -> None:
    text = 'WORKERS = 0\nDEVICE = "cuda:97"\nTOTALSEG_WEIGHTS_PATH = "/nowhere"\n'
    assert require_settings(Workspace.init(tmp_path / "ws", settings_text=text), computes=False) == []


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ('AUTH = "off"\nTRUSTED_PROXIES = "10.0.0.1"', "AUTH is off, so TRUSTED_PROXIES has no effect"),
        ('DEVICE = "cpu"', "TRAINING_PROFILE is full and DEVICE is cpu"),
        ("REPEAT_SHARE = 0.1", "only repeated cases open with an empty mask"),
        ("REPEAT_SHARE = 0.1\nWITHOUT_DRAFT_SHARE = 0.1", ""),
        ('BOOTSTRAP_SOURCES = "watr=raw, T1=raw"', "names the sequence 'watr'; did you mean 'water'"),
        ('BOOTSTRAP_SOURCES = "my sequence=raw"', ""),
    ],
)
def test_what_contradicts_itself_is_a_warning(tmp_path: Path, text: str, warning: str) -> None:
    found = require_settings(Workspace.init(tmp_path / "ws", settings_text=f"{text}\n"), computes=True)
    assert len(found) == bool(warning) and warning in "".join(found)


def test_keys_and_variables_that_do_not_exist_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Workspace.init(tmp_path / "ws").root
    (root / "mrseg.toml").write_text("ROUND_SIZ = 3\nCOLOUR = 1\n")
    with pytest.raises(
        ConfigurationError, match=r"no such setting: COLOUR, ROUND_SIZ \(did you mean ROUND_SIZE\?\) in /"
    ):
        load_settings(root)
    (root / "mrseg.toml").write_text("round_size = 3\n")
    assert load_settings(root).round_size == 3
    monkeypatch.setenv("MRSEG_ROUND_SZIE", "5")
    with pytest.raises(
        ConfigurationError, match=r"MRSEG_ROUND_SZIE \(did you mean MRSEG_ROUND_SIZE\?\) in the environment"
    ):
        load_settings(root)
    monkeypatch.delenv("MRSEG_ROUND_SZIE")
    # Not ours, although they begin so: Kubernetes makes them for services named mrseg and mrseg-server.
    for name in (
        "PORT",
        "SERVICE_HOST",
        "SERVICE_PORT_HTTP",
        "PORT_8000_TCP_ADDR",
        "SERVER_PORT",
        "SERVER_SERVICE_HOST",
    ):
        monkeypatch.setenv(f"MRSEG_{name}", "tcp://10.0.0.1:8000")
    monkeypatch.setenv("MRSEG_WORKSPACE", str(root))
    monkeypatch.setenv("mrseg_round_size", "7")
    assert load_settings(root).round_size == 7


def test_weights_that_are_there_are_fine(tmp_path: Path) -> None:
    model = tmp_path / "weights" / "nnUNetTrainerNoMirroring__nnUNetPlans__3d_fullres"
    (model / CHECKPOINT).parent.mkdir(parents=True)
    for name in ("plans.json", "dataset.json", CHECKPOINT):
        (model / name).touch()
    workspace = Workspace.init(tmp_path / "ws", settings_text=f'WEIGHTS_PATH = "{tmp_path / "weights"}"\n')
    assert require_settings(workspace, computes=True) == []


@pytest.fixture(autouse=True)
def no_weights_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOTALSEG_WEIGHTS_PATH", raising=False)
