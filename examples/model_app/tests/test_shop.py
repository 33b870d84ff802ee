"""The shop's own tests: what a view answers, and what it leaves in its record. ``chest_records`` comes with Chest."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient
from shop.payments import Payments


@pytest.fixture
def authorization(app: Flask) -> dict[str, str]:
    token = jwt.encode({"sub": "1"}, app.config["SECRET_KEY"], algorithm="HS256")
    return {"Authorization": f"Bearer {token}"}


def test_an_order_is_recorded_with_its_jobs(
    client: FlaskClient, authorization: dict[str, str], monkeypatch: pytest.MonkeyPatch, chest_records: Any
) -> None:
    monkeypatch.setattr(Payments, "pay", lambda self, amount: "p-1")
    answer = client.post("/orders/", json={"item_id": 1, "quantity": 2}, headers=authorization)
    assert (answer.status_code, answer.json) == (201, {"payment": "p-1", "total": 24})
    order = chest_records.assert_recorded(route="/orders/", quantity=2, **{"enduser.id": "1"})
    jobs = [record for record in chest_records if record.method == "JOB"]
    assert {job.path for job in jobs} == {"shop.send_receipt", "shop.jobs.write_report"}
    assert {job.request_id for job in jobs} == {order.request_id}


def test_what_is_sold_out_is_said(client: FlaskClient, authorization: dict[str, str], assert_recorded: Any) -> None:
    assert client.post("/orders/", json={"item_id": 3}, headers=authorization).status_code == 409
    assert_recorded(route="/orders/", status=409, error="OutOfStock")


def test_a_command_is_recorded(app: Flask, assert_recorded: Any) -> None:
    assert app.test_cli_runner().invoke(args=["restock", "3", "5"]).exit_code == 0
    assert_recorded(method="COMMAND", path="restock", item_id=3)
    assert app.test_cli_runner().invoke(args=["restock", "--", "3", "-5"]).exit_code == 0
