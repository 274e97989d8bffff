"""`python -m decon3d` is the command `decon3d`."""

from decon3d.cli import main

if __name__ == "__main__":
    main()
