"""``python -m mrseg_label.cli``: the command line where its script is not on the path."""

from mrseg_label.cli import main

if __name__ == "__main__":
    main()
