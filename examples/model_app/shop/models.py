"""Who buys, and what is sold."""

from __future__ import annotations

from flask_login import UserMixin

from shop.extensions import bcrypt, db, login


class User(UserMixin, db.Model):
    """A customer; Flask-Login's ``get_id`` is the primary key, which records have as ``enduser.id``."""

    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(80), unique=True, nullable=False)
    password_hash = db.Column(db.String(60), nullable=False)

    @classmethod
    def called(cls, name: str, password: str) -> User | None:
        """The user of this name, if the password is right."""
        user = db.session.scalar(db.select(cls).filter_by(name=name))
        return user if user is not None and bcrypt.check_password_hash(user.password_hash, password) else None


class Item(db.Model):
    """Something that the shop sells."""

    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(80), nullable=False)
    price = db.Column(db.Integer, nullable=False)
    in_stock = db.Column(db.Integer, nullable=False)

    def as_json(self) -> dict[str, object]:
        """What a client sees."""
        return {"id": self.id, "name": self.name, "price": self.price}


@login.user_loader
def load_user(user_id: str) -> User | None:
    """Flask-Login asks for it when a view looks at ``current_user``; Chest never does."""
    return db.session.get(User, int(user_id))
