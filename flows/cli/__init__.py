"""The public command `dagmm`, one module a family of commands."""


def main() -> None:
    """Run the command line; what it needs is loaded here, so that importing the room is free."""
    from flows.cli.commands import main as run

    run()
