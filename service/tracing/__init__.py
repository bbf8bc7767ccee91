"""Spans for OpenTelemetry: `spans` is what the service calls, and `exporter` sends them. Off until `spans.start`."""
