"""`python -m orbiter`."""

from orbiter.cli import main

if __name__ == "__main__":
    main()
