"""The product's side of the worker: its handlers, and its clients of the api, SMTP and Stripe."""
