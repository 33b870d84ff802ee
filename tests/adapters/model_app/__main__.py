"""``python -m tests.adapters.model_app``: the model application with PostgreSQL, Redis, its workers and a payment service, until Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import tempfile
from pathlib import Path

from chest.cli.demo.report import typed_command
from tests.adapters.model_app.running_shop import running_shop
from tests.servers import HOST
from tests.servers.postgresql import postgresql
from tests.servers.redis import redis


def main() -> None:
    """Serve it until Ctrl-C or SIGTERM, also if the shell started it in the background and so with SIGINT ignored."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="model-app-") as name, postgresql() as database, redis() as store:
        redis_url = f"redis://{HOST}:{store.port}/0"
        with running_shop(Path(name), database.new_url(), redis_url, SHOP_FLAGS="stock prices") as shop:
            print(
                f"The shop:    http://{HOST}:{shop.server.port}/  (/items, /login: ada, lovelace; /metrics, /__heartbeat__)"
            )
            print(f"Its records: {typed_command()} tail {shop.environ['CHEST_URLS']}")
            print("Ctrl-C ends it.", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
            for each in (signal.SIGINT, signal.SIGTERM):
                signal.signal(each, signal.SIG_IGN)  # a second Ctrl-C would leave files behind
            print("Ending.", flush=True)


if __name__ == "__main__":
    main()
