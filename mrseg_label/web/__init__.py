"""Pages: sign-in, here or through the hospital's identity provider, and the account page."""

from __future__ import annotations

from mrseg_label.web.routes import router

__all__ = ["router"]
