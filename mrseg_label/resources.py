"""Find the files that are delivered with the product, in the checkout or inside the installed package."""

from __future__ import annotations

from pathlib import Path

from mrseg_label.errors import ConfigurationError

_PACKAGE = Path(__file__).parent
_CHECKOUT = _PACKAGE.parent


def sample_data() -> Path:
    """Return the folder of the sample cohort and the stand-in weights."""
    return _first("sample data", _CHECKOUT / "sample-data", _PACKAGE / "sample_data")


def monailabel_app() -> Path:
    """Return the folder of the MONAI Label app, for ``--app`` of MONAI Label's launcher."""
    return _first("MONAI Label app", _CHECKOUT / "apps" / "mrseg", _PACKAGE / "apps" / "mrseg")


def _first(what: str, in_checkout: Path, in_package: Path) -> Path:
    # Only a checkout has a pyproject.toml; beside an installed package, a folder named sample-data could be any.
    if (_CHECKOUT / "pyproject.toml").is_file() and in_checkout.is_dir():
        return in_checkout
    if in_package.is_dir():
        return in_package
    raise ConfigurationError(
        f"the {what} is missing from this installation ({in_package} does not exist); reinstall mrseg-label"
    )
