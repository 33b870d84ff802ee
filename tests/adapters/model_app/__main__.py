"""``python -m tests.adapters.model_app``: the model application with PostgreSQL, Redis, its workers and a payment service, until Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import tempfile
from pathlib import Path

from tests.adapters.model_app.running_shop import running_shop
from tests.servers import HOST
from tests.servers.postgresql import postgresql
from tests.servers.redis import redis


def main() -> None:
    """Serve it; Ctrl-C and SIGTERM end all of it, also where a shell in the background has SIGINT ignored."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="model-app-") as name, postgresql() as database, redis() as store:
        redis_url = f"redis://{HOST}:{store.port}/0"
        with running_shop(Path(name), database.new_url(), redis_url, SHOP_FLAGS="stock prices") as shop:
            print(
                f"The shop:    http://{HOST}:{shop.server.port}/  (/items, /login: ada, lovelace; /metrics, /__heartbeat__)"
            )
            print(f"Its records: chest tail {shop.environ['CHEST_URLS']}")
            print("Ctrl-C ends it.", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()


if __name__ == "__main__":
    main()
