"""Work of a Flask application that is no request: jobs, commands, and the events of Flask-SocketIO."""
