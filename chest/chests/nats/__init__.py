"""NATS JetStream, over a socket."""
