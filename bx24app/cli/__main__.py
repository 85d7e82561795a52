"""`python -m bx24app.cli` runs the command line where no `bx24app` script is on the PATH."""

from bx24app.cli.main import main

if __name__ == "__main__":
    main()
