-- Two databases, each with an owner that migrates it and roles that work in it; the migrations grant the roles what
-- they need. Run by psql, once, on an empty server.
\set ON_ERROR_STOP on
\getenv api_owner_password API_OWNER_PASSWORD
\getenv api_server_password API_SERVER_PASSWORD
\getenv jobs_owner_password JOBS_OWNER_PASSWORD
\getenv jobs_server_password JOBS_SERVER_PASSWORD
\getenv jobs_worker_password JOBS_WORKER_PASSWORD

CREATE ROLE api_owner LOGIN PASSWORD :'api_owner_password';
CREATE ROLE api_server LOGIN PASSWORD :'api_server_password';
CREATE DATABASE api OWNER api_owner;
REVOKE CONNECT ON DATABASE api FROM PUBLIC;
GRANT CONNECT ON DATABASE api TO api_server;

CREATE ROLE jobs_owner LOGIN PASSWORD :'jobs_owner_password';
CREATE ROLE jobs_server LOGIN PASSWORD :'jobs_server_password';
CREATE ROLE jobs_worker LOGIN PASSWORD :'jobs_worker_password';
CREATE DATABASE jobs OWNER jobs_owner;
REVOKE CONNECT ON DATABASE jobs FROM PUBLIC;
GRANT CONNECT ON DATABASE jobs TO jobs_server, jobs_worker;
