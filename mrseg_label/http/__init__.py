"""What every HTTP request passes first: request id, identity, permissions and limits; and errors as replies.

REST, the pages and the MONAI Label protocol all lie behind it, and none of them checks roles or limits by itself.
"""
