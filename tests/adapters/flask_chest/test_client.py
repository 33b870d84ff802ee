"""The user that an extension has loaded is in the record, and no user is loaded for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, redirect, stream_with_context
from flask_chest.client import get_ip, request_user, user_or_ip_key
from flask_httpauth import HTTPBasicAuth, HTTPTokenAuth  # type: ignore[import-untyped]
from flask_limiter import Limiter
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user  # type: ignore[import-untyped]
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect  # type: ignore[import-untyped]
from flask_wtf.csrf import generate_csrf  # type: ignore[import-untyped]
from sqlalchemy import event

from chest import ChestMiddleware, Record, current
from chest.request.client.user import UserIds

Make = Callable[..., Any]


class User(UserMixin):  # type: ignore[misc]
    id = "7"


@pytest.fixture
def app() -> Flask:
    """An application with a login, whose loaded users are counted in ``app.config["LOADS"]``."""
    app = Flask("tests.shop")
    app.secret_key = "x"
    loads = app.config["LOADS"] = []
    manager = LoginManager(app)
    manager.user_loader(lambda user_id: (loads.append(user_id), User())[1])
    app.post("/login")(lambda: (login_user(User()), "in")[1])
    app.post("/logout", endpoint="logout")(lambda: (logout_user(), "out")[1])
    app.get("/me", endpoint="me")(lambda: str(current_user.is_authenticated))
    app.get("/nobody", endpoint="nobody")(lambda: "n")
    app.get("/said", endpoint="said")(lambda: (current_user.id, setattr(current(), "user", "subject"))[0])
    app.get("/fails", endpoint="fails")(lambda: 1 / (current_user.id == "8"))
    app.get("/page", endpoint="page")(lambda: redirect("/me"))
    app.get("/late", endpoint="late")(lambda: app.response_class(stream_with_context(iter_user())))
    return app


def iter_user() -> Any:
    yield current_user.id


def users(records: list[Record]) -> list[Any]:
    return [record.attributes.get("enduser.id") for record in sorted(records, key=lambda each: each.time_ns)]


def test_the_user_of_flask_login_is_recorded_and_loaded_for_no_record(recorded: Make, app: Flask) -> None:
    served = recorded(app)
    for method, path in (("GET", "/me"), ("POST", "/login"), ("GET", "/me"), ("GET", "/nobody"), ("GET", "/said")):
        served.client.open(path, method=method)
    assert users(served.records) == [None, "7", "7", None, "subject"]
    assert app.config["LOADS"] == ["7", "7"]


def test_the_user_of_a_request_that_fails_or_streams_is_recorded(recorded: Make, app: Flask) -> None:
    served = recorded(app)
    for method, path in (
        ("POST", "/login"),
        ("GET", "/fails"),
        ("GET", "/late"),
        ("GET", "/page"),
        ("POST", "/logout"),
    ):
        served.client.open(path, method=method, buffered=True)
    assert users(served.records) == ["7", "7", "7", None, None]


@pytest.mark.parametrize("which", ["all", "tracked", "none"])
def test_the_user_does_not_depend_on_which_variables_of_g_are_recorded(recorded: Make, app: Flask, which: str) -> None:
    served = recorded(app, g=which)
    for method, path in (("POST", "/login"), ("GET", "/me")):
        served.client.open(path, method=method)
    assert users(served.records) == ["7", "7"]


@pytest.mark.parametrize(("way", "kept"), [("none", None), ("hashed", UserIds("hashed", "k" * 16).kept("7"))])
def test_the_option_holds_for_it(recorded: Make, app: Flask, way: str, kept: str | None) -> None:
    served = recorded(app, user_ids=way, user_ids_key="k" * 16 if kept else None)
    served.client.post("/login")
    assert users(served.records) == [kept]


def test_a_user_whom_another_request_left_on_a_shared_g_is_not_this_request_s(recorded: Make, app: Flask) -> None:
    served = recorded(app)
    with app.app_context():
        served.client.post("/login")
        served.client.get("/nobody")
    assert users(served.records) == ["7", None]


class Database:
    """An application whose users are in SQLite, with the statements that it sends."""

    def __init__(self) -> None:
        self.app = app = Flask("tests.shop")
        app.secret_key = "x"
        app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
        db = SQLAlchemy(app)

        class Account(UserMixin, db.Model):  # type: ignore[name-defined,misc]
            id = db.Column(db.Integer, primary_key=True)
            name = db.Column(db.Text)
            is_active = db.Column(db.Boolean, default=True)

        LoginManager(app).user_loader(lambda user_id: db.session.get(Account, int(user_id)))
        self.statements: list[str] = []
        with app.app_context():
            db.create_all()
            db.session.add(Account(id=7, name="ada"))
            db.session.commit()
            self.engine = db.engine
            event.listen(db.engine, "before_cursor_execute", lambda *call: self.statements.append(call[2]))

        @app.post("/login")
        def login() -> str:
            login_user(db.session.get(Account, 7))
            db.session.commit()
            return "in"

        @app.post("/rename")
        def rename() -> str:
            current_user.name = "grace"
            db.session.commit()
            return "renamed"

        @app.post("/fail")
        def fail() -> str:
            current_user.name = "grace"
            db.session.commit()
            raise LookupError


def test_a_user_whose_object_has_expired_is_recorded_without_a_statement(recorded: Make) -> None:
    bare, database = Database(), Database()
    served = recorded(database.app)
    for client in (bare.app.test_client(), served.client):
        for path in ("/login", "/rename", "/fail"):
            client.post(path)
    bare.engine.dispose()
    database.engine.dispose()
    assert users(served.records) == ["7", "7", "7"]
    assert len(database.statements) == len(bare.statements) > 0


def test_the_name_of_flask_httpauth_is_recorded_and_not_what_a_token_holds(recorded: Make) -> None:
    app = Flask("tests.api")
    basic, token = HTTPBasicAuth(), HTTPTokenAuth()
    basic.verify_password(lambda name, password: name if password == "right" else None)
    token.verify_token(lambda text: {"sub": "7", "mail": "ada@example.com"})
    app.get("/basic")(basic.login_required(lambda: "b"))
    app.get("/token", endpoint="t")(token.login_required(lambda: "t"))
    served = recorded(app)
    served.client.get("/basic", auth=("ada", "right"))
    served.client.get("/basic", auth=("ada", "wrong"))
    served.client.get("/token", headers={"Authorization": "Bearer x"})
    assert users(served.records) == ["ada", None, None]
    assert [record.variables for record in served.records] == [{}, {}, {}]


def test_an_application_may_say_who_asked_on_the_context_in_environ(recorded: Make) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["chest.context"].user = 42
        start_response("200 OK", [])
        return [b""]

    flask_app = Flask("tests.shop")
    served = recorded(flask_app)
    wrapped = ChestMiddleware(app, recorder=served.recorder)
    list(wrapped({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}, lambda *call: None))  # type: ignore[arg-type,return-value]
    assert users(served.records) == ["42"]


def test_a_form_leaves_no_variable_and_a_missing_token_is_the_error(recorded: Make, app: Flask) -> None:
    CSRFProtect(app)
    app.get("/form", endpoint="form")(lambda: generate_csrf())
    app.post("/form", endpoint="posted")(lambda: "posted")
    served = recorded(app)
    token = served.client.get("/form").text
    assert served.client.post("/form", data={"csrf_token": token}).text == "posted"
    assert served.client.post("/form").status_code == 400
    assert [record.variables for record in served.records] == [{}, {}, {}]
    assert [record.error for record in served.records] == [None, None, "CSRFError"]
    assert all(token not in str(record) for record in served.records)


def test_on_a_shared_g_a_summary_names_no_user_of_another_request(recorded: Make, app: Flask) -> None:
    app.get("/key", endpoint="key")(lambda: str(request_user()))
    served = recorded(app)
    with app.app_context():
        served.client.post("/login")
        assert served.client.get("/key").text == "None"


# -- addresses, and keys for limits


PROXIES = {"trusted_proxies": ["10.0.0.0/8"]}
BEHIND = {"REMOTE_ADDR": "10.0.0.1"}


def test_the_record_has_the_client_s_address_only_if_asked_for(recorded: Make) -> None:
    for asked, shown in ((False, None), (True, "203.0.113.5")):
        app = Flask("tests.shop")
        app.get("/")(lambda: str(get_ip()))
        served = recorded(app, client_address=asked, **PROXIES)
        answer = served.client.get(
            "/", headers={"X-Forwarded-For": "1.2.3.4, 203.0.113.5:99"}, environ_overrides=BEHIND
        )
        assert answer.text == "203.0.113.5"
        assert served.record.attributes.get("client.address") == shown


def test_without_a_recorder_the_options_are_the_application_s_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEST_CLIENT_ADDRESS_HEADER", "Forwarded")
    app = Flask("tests.shop")
    app.config["CHEST_TRUSTED_PROXIES"] = "10.0.0.0/8"
    app.get("/")(lambda: str(get_ip()))
    for _ in range(2):
        answer = app.test_client().get("/", headers={"Forwarded": "for=203.0.113.5"}, environ_overrides=BEHIND)
        assert answer.text == "203.0.113.5"


@pytest.mark.parametrize(
    ("peer", "key"),
    [
        ("203.0.113.5", "ip:203.0.113.5"),
        ("2001:db8:1:2:3:4:5:6", "ip:2001:db8:1:2::/64"),
        ("::ffff:203.0.113.5", "ip:203.0.113.5"),
        ("", "ip:unknown"),
    ],
)
def test_the_key_of_a_client_who_is_not_logged_in_is_its_address(app: Flask, peer: str, key: str) -> None:
    app.get("/key", endpoint="key")(user_or_ip_key)
    assert app.test_client().get("/key", environ_overrides={"REMOTE_ADDR": peer}).text == key


def test_the_key_is_who_the_application_says(recorded: Make, app: Flask) -> None:
    app.get("/key", endpoint="key")(lambda: (setattr(current(), "user", 42), user_or_ip_key())[1])
    assert recorded(app).client.get("/key").text == "user:42"


def test_flask_limiter_counts_users_and_addresses_and_no_user_is_loaded_for_it(recorded: Make, app: Flask) -> None:
    Limiter(user_or_ip_key, app=app, default_limits=["2 per hour"], storage_uri="memory://")
    served = recorded(app, **PROXIES)

    def statuses(count: int, client: Any, **headers: str) -> list[int]:
        found = []
        for number in range(count):
            spoofed = {"X-Forwarded-For": f"1.2.3.{number}, {headers['address']}"}
            found.append(client.get("/nobody", headers=spoofed, environ_overrides=BEHIND).status_code)
        return found

    assert statuses(3, served.client, address="203.0.113.5") == [200, 200, 429]
    assert statuses(1, served.client, address="203.0.113.6") == [200]
    served.client.post("/login", environ_overrides=BEHIND)
    assert statuses(3, served.client, address="203.0.113.5") == [200, 200, 429]  # the user's own
    assert statuses(1, app.test_client(), address="203.0.113.5") == [429]
    assert app.config["LOADS"] == []
    assert {record.error for record in served.records if record.status == 429} == {"RateLimitExceeded"}
