"""``jacorpus serve``: a page to browse what stages of post-training drew."""

from pathlib import Path
from typing import Annotated

import typer

from cli import console


def serve(
    folder: Annotated[Path, typer.Argument(help="Folder of a stage that draws answers.")],
    other: Annotated[Path | None, typer.Argument(help="Another one: its answers are shown beside.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on; the default is reached from this machine alone.")] = (
        "127.0.0.1"
    ),
    no_open: Annotated[bool, typer.Option("--no-open", help="Open no browser.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the traceback of an error.")] = False,
) -> None:
    """Browse rollouts in a local page: answers token by token with log-probs, advantages, rewards and KL.

    Example: jacorpus serve out/chat/posttrain/03-grpo out/chat/posttrain/04-ppo
    """
    import ipaddress
    import webbrowser

    from trainer.serve.rollouts import Folder
    from trainer.serve.server import Server

    folders = [Folder(path) for path in (folder, other) if path is not None]
    with Server(folders, host, port) as server:
        console.result.print(server.url)
        try:
            alone = ipaddress.ip_address(host).is_loopback
        except ValueError:
            alone = host == "localhost"
        if not alone:
            console.notes.print(f"whoever reaches {host} reads these rollouts; leave --host out to be alone")
        console.notes.print("Ctrl-C ends it")
        if not no_open:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.notes.print("ended")
