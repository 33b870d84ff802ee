"""OpenTelemetry's protocol, OTLP over HTTP."""
