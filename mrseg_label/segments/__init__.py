"""What a mask file says: segments decoded by name, label maps, names and their spellings, classes that merge."""
