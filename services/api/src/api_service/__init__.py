"""The auth and billing service of the SaaS: gRPC for clients and workers, and an HTTP door for Stripe and mail links."""
