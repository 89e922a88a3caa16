"""Tell administrators what needs attention: stored, and sent to a webhook or by e-mail."""
