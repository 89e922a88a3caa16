"""Accounts, roles, and the ways to sign in: passwords, app passwords, tokens, API keys, identity providers."""
