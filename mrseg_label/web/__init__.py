"""Pages: sign-in, here or through the hospital's identity provider, the account page, and the REST interface."""

from __future__ import annotations

from mrseg_label.web.api_docs import api_docs_router
from mrseg_label.web.routes import router

__all__ = ["api_docs_router", "router"]
