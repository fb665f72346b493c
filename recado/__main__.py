"""Run the command: `python -m recado`."""

from recado.cli import main

if __name__ == "__main__":
    main()
