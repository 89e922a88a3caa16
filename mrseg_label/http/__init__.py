"""The front door of every HTTP request: permissions, identity, limits, errors as documents.

REST, pages and the MONAI Label protocol stand behind it; none of them decides who may call what.
"""
