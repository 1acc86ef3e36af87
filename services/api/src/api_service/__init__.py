"""The auth and billing service of the SaaS: gRPC for clients and workers, HTTP for Stripe and links in emails."""
