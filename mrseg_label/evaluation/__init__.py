"""Judge masks as a study does: measurements of each case, and the tables and tests made of them."""
