"""ClickHouse, over HTTP."""
