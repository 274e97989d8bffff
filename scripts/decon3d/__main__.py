"""`python -m decon3d` is the command `decon3d`."""

from decon3d.cli import main

main()
