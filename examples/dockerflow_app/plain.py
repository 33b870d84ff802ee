"""The same without Flask: ``request.summary`` comes from a chest, in the delivery thread's time."""

from chest import ChestMiddleware
from chest.dockerflow import Dockerflow


def shop(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"shop\n"]


app = ChestMiddleware(shop, chests=["log:?logger=request.summary"], dockerflow=Dockerflow())
