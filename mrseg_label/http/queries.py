"""Refuse query parameters that a route does not have: with a typo in a filter it would answer with everything.

What a route has is what it declares, so that a new parameter needs no entry here.
"""

from __future__ import annotations

import difflib
from collections import Counter
from typing import Any

from fastapi import Depends
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import ParamTypes
from fastapi.routing import APIRoute
from starlette.requests import Request

from mrseg_label.errors import InvalidInput

_SHOWN = 80  # characters of a name that a client made up


def only_declared_parameters(*also: str) -> Any:
    """Make the dependency of a router that refuses other parameters, and repeated ones of which a route takes one.

    Parameters
    ----------
    also : names that clients may send to every route of the router, and that mean nothing here.
    """

    def check_parameters(request: Request) -> None:
        route = request.scope.get("route")
        if not request.url.query or not isinstance(route, APIRoute):
            return
        declared = {
            field.alias
            for field in get_flat_params(route.dependant)
            if getattr(field.field_info, "in_", None) is ParamTypes.query
        }
        for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
            if name in also:
                continue
            if name not in declared:
                raise InvalidInput(_unknown(name, sorted(declared)))
            if times > 1:
                raise InvalidInput(f"the query parameter {name!r} occurs {times} times; send it once")

    return Depends(check_parameters)


def _unknown(name: str, declared: list[str]) -> str:
    message = f"this route has no query parameter {name[:_SHOWN]!r}"
    if not declared:
        return f"{message}; it takes none"
    near = difflib.get_close_matches(name.lower(), declared, n=1)
    return f"{message}; {f'did you mean {near[0]!r}? it' if near else 'it'} takes {', '.join(declared)}"
