"""What the segments and values of a mask file mean: decoding by name, label maps, names and spellings of structures."""
