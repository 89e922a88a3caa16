"""Where the files that travel with the product lie: in the checkout, or inside the installed package."""

from __future__ import annotations

from pathlib import Path

from mrseg_label.errors import ConfigurationError

_PACKAGE = Path(__file__).parent
_CHECKOUT = _PACKAGE.parent


def sample_data() -> Path:
    """Folder of the sample cohort and the stand-in weights."""
    return _first("sample data", _CHECKOUT / "sample-data", _PACKAGE / "sample_data")


def monailabel_app() -> Path:
    """Folder of the MONAI Label app, what its launcher calls ``--app``."""
    return _first("MONAI Label app", _CHECKOUT / "apps" / "mrseg", _PACKAGE / "apps" / "mrseg")


def _first(what: str, in_checkout: Path, in_package: Path) -> Path:
    # A folder named sample-data beside an installed package could be anybody's: the checkout is known by its pyproject.toml.
    if (_CHECKOUT / "pyproject.toml").is_file() and in_checkout.is_dir():
        return in_checkout
    if in_package.is_dir():
        return in_package
    raise ConfigurationError(f"the {what} is missing from this installation ({in_package}); install mrseg-label again")
