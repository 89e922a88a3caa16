"""Pages: sign-in, also through the hospital's identity provider, and one's own account."""

from __future__ import annotations

from mrseg_label.web.routes import router
from mrseg_label.web.rules import web_rules
from mrseg_label.web.settings import secure
from mrseg_label.web.state_cookie import StateCookie

__all__ = ["StateCookie", "router", "secure", "web_rules"]
