"""Delete participants on request, such as a withdrawn consent, everywhere in a workspace.

The rows go first, in one transaction that also writes down what else is to be removed; then files, logs and mentions in
other rows; then the database is written anew. Killed at any moment, the deletion is finished by calling it again.
"""
