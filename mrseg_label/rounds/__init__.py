"""Rounds: trigger, snapshot, training, evaluation. What the server imports from here stays light."""
