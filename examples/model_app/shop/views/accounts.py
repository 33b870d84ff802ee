"""Log in with a form and a session; Flask-WTF checks its token."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required, login_user, logout_user
from flask_wtf import FlaskForm
from wtforms import PasswordField, StringField
from wtforms.validators import InputRequired

from shop.models import User

blueprint = Blueprint("accounts", __name__)


class LoginForm(FlaskForm):
    """Name and password."""

    name = StringField(validators=[InputRequired()])
    password = PasswordField(validators=[InputRequired()])


@blueprint.route("/login", methods=["GET", "POST"])
def log_in() -> ResponseReturnValue:
    """The form, and what it sends."""
    form = LoginForm()
    if not form.validate_on_submit():
        return render_template("login.html", form=form)
    login_user(User.called(form.name.data, form.password.data) or abort(401))
    return redirect(url_for("accounts.me"))


@blueprint.get("/me")
@login_required
def me() -> ResponseReturnValue:
    """Who is logged in: the request loads its user, so the record has it."""
    return {"name": current_user.name}


@blueprint.post("/logout")
@login_required
def log_out() -> ResponseReturnValue:
    """End the session."""
    logout_user()
    return redirect(url_for("catalogue.index"))
