"""Check and store the masks that readers submit, decide about them in a review, and compare them."""
