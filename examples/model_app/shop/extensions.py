"""The extensions, made once and bound to an application by its factory. Only ``recorder`` is of Chest."""

from __future__ import annotations

from flask_bcrypt import Bcrypt
from flask_caching import Cache
from flask_chest import FlaskRecorder
from flask_chest.client import user_or_ip_key
from flask_cors import CORS
from flask_httpauth import HTTPBasicAuth
from flask_limiter import Limiter
from flask_login import LoginManager
from flask_mail import Mail
from flask_migrate import Migrate
from flask_moment import Moment
from flask_redis import FlaskRedis
from flask_socketio import SocketIO
from flask_sqlalchemy import SQLAlchemy
from flask_talisman import Talisman
from flask_wtf.csrf import CSRFProtect

recorder = FlaskRecorder()

bcrypt = Bcrypt()
cache = Cache()
cors = CORS(resources=r"/api/*")
csrf = CSRFProtect()
db = SQLAlchemy()
httpauth = HTTPBasicAuth()
limiter = Limiter(user_or_ip_key)
login = LoginManager()
mail = Mail()
migrate = Migrate()
moment = Moment()
redis = FlaskRedis()
socketio = SocketIO()
talisman = Talisman()

login.login_view = "accounts.log_in"
recorder.record_events(socketio)  # before the handlers of shop.events are registered
