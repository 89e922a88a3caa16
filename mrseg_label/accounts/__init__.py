"""Who may sign in: accounts and roles, passwords, tokens, keys."""
