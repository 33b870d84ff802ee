"""A class for each place where the shop runs; ``SHOP_CONFIG`` chooses one, the environment fills it in."""

from __future__ import annotations

import os


class Config:
    """Development: a Redis and a PostgreSQL on this machine, plain HTTP."""

    def __init__(self) -> None:
        redis_url = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
        self.SECRET_KEY = os.environ.get("SECRET_KEY", "only for development, and 32 bytes long")
        self.SQLALCHEMY_DATABASE_URI = os.environ.get("DATABASE_URL", "postgresql+psycopg://localhost/shop")
        self.REDIS_URL = redis_url
        self.CELERY = {"broker_url": redis_url, "task_ignore_result": True, "broker_connection_retry_on_startup": True}
        self.CACHE_TYPE, self.CACHE_REDIS_URL, self.CACHE_KEY_PREFIX = "RedisCache", redis_url, "shop:"
        self.RATELIMIT_STORAGE_URI, self.RATELIMIT_STRATEGY = redis_url, "moving-window"
        self.PAYMENTS_URL = os.environ.get("PAYMENTS_URL", "http://localhost:9000")
        self.PAYMENTS_FAILURES, self.PAYMENTS_RESET_SECONDS = 2, 30
        self.MAIL_SERVER = os.environ.get("MAIL_SERVER", "localhost")
        self.MAIL_SUPPRESS_SEND = "MAIL_SERVER" not in os.environ
        self.MAIL_DEFAULT_SENDER = "shop@example.com"
        self.FLAGS = set(os.environ.get("SHOP_FLAGS", "").split())

    TALISMAN_FORCE_HTTPS = False
    SESSION_COOKIE_SECURE = False
    CHEST_SERVICE = "shop"
    CHEST_METRICS = True
    CHEST_EXCLUDE_PATHS = ["/__lbheartbeat__", "/static/*"]


class ProductionConfig(Config):
    """Behind a proxy that speaks HTTPS with the client and sends ``X-Forwarded-Proto``."""

    TALISMAN_FORCE_HTTPS = True
    SESSION_COOKIE_SECURE = True

    def __init__(self) -> None:
        super().__init__()
        self.SECRET_KEY = os.environ["SECRET_KEY"]  # no default


class TestingConfig(Config):
    """The shop's own tests: records stay in memory, forms need no token, tasks run at once."""

    TESTING = True
    WTF_CSRF_ENABLED = False

    def __init__(self) -> None:
        super().__init__()
        self.CELERY = {**self.CELERY, "task_always_eager": True}
        self.RATELIMIT_ENABLED = False


CONFIGS: dict[str, type[Config]] = {"development": Config, "production": ProductionConfig, "testing": TestingConfig}
