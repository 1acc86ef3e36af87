"""The common base of all Headrace services: settings, logs, traces, gRPC servers and clients, life cycle."""
