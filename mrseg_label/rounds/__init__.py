"""Retraining rounds: when one is due, its snapshot, its training and its evaluation.

What the server process imports from here (``service`` and ``export``) loads no torch.
"""
