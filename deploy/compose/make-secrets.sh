#!/bin/sh
# Makes what compose.yaml needs and nobody should invent by hand: passwords, tokens, keys, and the callers file. Writes
# .env and secrets/ beside itself, or in the folder that is given; never over files that are there. Needs openssl.
set -eu
umask 077
cd "${1:-$(dirname "$0")}"
if [ -e .env ] || [ -e secrets ]; then
  echo "make-secrets.sh: .env or secrets/ is there already; remove both to start anew (the database keeps its old passwords)" >&2
  exit 1
fi

random() { openssl rand -hex 32; }
key() { openssl rand -base64 32; }
sha256() { printf %s "$1" | openssl dgst -sha256 -r | cut -d' ' -f1; }

mkdir secrets
openssl genpkey -algorithm ed25519 -out secrets/access-token-key.pem
api_jobs_token=$(random)
jobs_api_token=$(random)
operator_token=$(random)
cat > secrets/callers.toml <<END
[[callers]]
name = "api"
token_sha256 = ["$(sha256 "$api_jobs_token")"]
kinds = ["saas.jobs.v1.*"]
methods = ["Enqueue", "EnqueueBatch", "GetJob", "ListKinds"]

[[callers]]
name = "operator"
token_sha256 = ["$(sha256 "$operator_token")"]
kinds = ["saas.jobs.v1.*"]
methods = ["*"]
END
# The programs read these two as user 10001; the folder keeps everybody else on this machine out.
chmod 644 secrets/access-token-key.pem secrets/callers.toml

cat > .env <<END
# Yours to fill in.
API_PUBLIC_URL=
API_MAIL_FROM=
STRIPE_SECRET_KEY=
STRIPE_WEBHOOK_SECRETS=
STRIPE_PRICES=
SMTP_HOST=

# Made by make-secrets.sh.
POSTGRES_PASSWORD=$(random)
API_OWNER_PASSWORD=$(random)
API_SERVER_PASSWORD=$(random)
JOBS_OWNER_PASSWORD=$(random)
JOBS_SERVER_PASSWORD=$(random)
JOBS_WORKER_PASSWORD=$(random)
API_JOBS_TOKEN=$api_jobs_token
JOBS_API_TOKEN=$jobs_api_token
API_WORKER_TOKENS_SHA256=$(sha256 "$jobs_api_token")
API_LINK_KEYS=1:$(key)
JOBS_HASH_KEYS=$(key)
JOBS_CONSOLE_KEYS=$(key)
# For you, not for a program: may call every method of the jobs server. Log in to the console with it.
OPERATOR_TOKEN=$operator_token
END
echo "Made .env and secrets/. Fill in the empty lines of .env."
