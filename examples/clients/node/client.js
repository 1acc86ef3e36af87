// A client of the jobs service that knows nothing of it but its .proto files (gen/ is generated from them).
//
//   HEADRACE_TARGET=127.0.0.1:50051 HEADRACE_TOKEN=… node client.js
//
// It has a bad job refused, enqueues a good one twice under one key, and waits until that job has ended.
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { JobState } from "./gen/headrace/jobs/v1/job_pb.js";
import { JobsService } from "./gen/headrace/jobs/v1/jobs_service_pb.js";
import { SendVerificationEmailSchema } from "./gen/saas/jobs/v1/kinds_pb.js";

const CALL_MS = 30_000;
const ENDED = new Set([JobState.COMPLETED, JobState.CANCELLED, JobState.DISCARDED, JobState.QUARANTINED]);

const authorize = (next) => (request) => {
  request.header.set("authorization", `Bearer ${process.env.HEADRACE_TOKEN}`);
  return next(request);
};
const jobs = createClient(
  JobsService,
  createGrpcTransport({
    baseUrl: `http://${process.env.HEADRACE_TARGET ?? "127.0.0.1:50051"}`,
    defaultTimeoutMs: CALL_MS,
    interceptors: [authorize],
  }),
);

// Calls again while the service is away, or for as long as it asks to be left alone: safe with an idempotency key.
async function patiently(call) {
  const deadline = Date.now() + CALL_MS;
  for (let wait = 100; ; wait = Math.min(wait * 2, 5_000)) {
    try {
      return await call();
    } catch (error) {
      const { code, retryAfter } = describe(error);
      const asked = retryAfter ?? (code === Code.Unavailable || code === Code.Aborted ? Math.random() * wait : undefined);
      if (asked === undefined || Date.now() + asked > deadline) throw error;
      await pause(asked);
    }
  }
}

// What the service says beside its sentence: google.rpc's error details.
function describe(error) {
  const failed = ConnectError.from(error);
  const [retry] = failed.findDetails(RetryInfoSchema);
  return {
    code: failed.code,
    reason: failed.findDetails(ErrorInfoSchema)[0]?.reason,
    violations: failed.findDetails(BadRequestSchema).flatMap((found) => found.fieldViolations),
    retryAfter: retry && Number(retry.retryDelay.seconds) * 1000 + retry.retryDelay.nanos / 1e6,
  };
}

function enqueue(mailId, key) {
  const payload = anyPack(SendVerificationEmailSchema, create(SendVerificationEmailSchema, { mailId }));
  return patiently(() => jobs.enqueue({ payload, idempotencyKey: key }));
}

async function waitFor(jobId, ms) {
  const deadline = Date.now() + ms;
  for (let wait = 50; ; wait = Math.min(wait * 1.5, 1_000)) {
    const { job } = await patiently(() => jobs.getJob({ jobId }));
    if (ENDED.has(job.state)) return job;
    if (Date.now() > deadline) throw new Error(`job ${jobId} has not ended: it is ${JobState[job.state].toLowerCase()}`);
    await pause(wait);
  }
}

try {
  await enqueue("no-uuid", randomUUID());
} catch (error) {
  const { reason, violations } = describe(error);
  for (const { field, description } of violations) console.log(`refused (${reason}): ${field}: ${description}`);
  if (violations.length === 0) throw error;
}

const mailId = randomUUID();
const key = `example:${mailId}`;
const { jobId } = await enqueue(mailId, key);
console.log(`enqueued: job ${jobId}`);
const again = await enqueue(mailId, key);
console.log(`enqueued again: job ${again.jobId}${again.duplicate ? ", a duplicate" : ""}`);
const job = await waitFor(jobId, CALL_MS);
console.log(`ended: job ${jobId} is ${JobState[job.state].toLowerCase()}`);
