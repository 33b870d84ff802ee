"""Users and items, with a customer and three items to begin with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from flask_bcrypt import generate_password_hash

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    users = op.create_table(
        "user",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(80), nullable=False, unique=True),
        sa.Column("password_hash", sa.String(60), nullable=False),
    )
    items = op.create_table(
        "item",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("price", sa.Integer, nullable=False),
        sa.Column("in_stock", sa.Integer, nullable=False),
    )
    op.bulk_insert(users, [{"name": "ada", "password_hash": generate_password_hash("lovelace", 4).decode()}])
    names = [("Linen notebook", 12, 40), ("Desk lamp", 64, 3), ("Globe", 149, 0)]
    op.bulk_insert(items, [{"name": name, "price": price, "in_stock": left} for name, price, left in names])


def downgrade() -> None:
    """Remove them."""
    op.drop_table("item")
    op.drop_table("user")
