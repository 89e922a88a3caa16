"""Pages: the dashboard, sign-in here or through the hospital's identity provider, the account, the REST interface."""

from __future__ import annotations

from mrseg_label.web.api_docs import api_docs_router
from mrseg_label.web.assets import assets_router
from mrseg_label.web.dashboard import dashboard_router
from mrseg_label.web.pages import error_page
from mrseg_label.web.routes import router

__all__ = ["api_docs_router", "assets_router", "dashboard_router", "error_page", "router"]
