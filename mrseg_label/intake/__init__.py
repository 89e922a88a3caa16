"""Files to examinations: one geometry, stored once, grouped by acquisition."""
