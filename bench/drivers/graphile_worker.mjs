// Drives graphile-worker in the setting of its own benchmark: 24 at once, a local queue of 500, outcomes in batches.
// The same cases as harness.py, from the same command line, with the same answers.
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";

const require = createRequire(process.env.GRAPHILE_WORKER_HOME + "/");
const { run, makeWorkerUtils, Logger } = require("graphile-worker");

const [name, connectionString, given] = process.argv.slice(2);
const logger = new Logger(() => () => {});
const worker = {
  connectionString, concurrentJobs: 24, maxPoolSize: 25, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0,
};
const utils = await makeWorkerUtils({ connectionString, logger });
const ids = (count) => Array.from({ length: count }, () => randomUUID());
const cpu = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1e6; };
const now = () => performance.now() / 1000;

// One statement, and so one transaction; the fastest way by its own documentation.
const enqueue = (jobs) => utils.addJobs(jobs.map((id) => ({ identifier: "verification", payload: { id } })));

async function working(began, block) {
  const taskList = { verification: async (payload) => began(payload.id) };
  const runner = await run({ preset: { worker }, taskList, logger, noHandleSignals: true });
  await block();
  await runner.stop();
}

function count(jobs) {
  const counter = { first: 0, firstCpu: 0 };
  counter.reached = new Promise((resolve) => {
    counter.began = () => {
      if (!counter.first) [counter.first, counter.firstCpu] = [now(), cpu()];
      if (--jobs === 0) resolve();
    };
  });
  return counter;
}

const cases = {
  async setup() { await utils.migrate(); return {}; },
  async enqueue({ jobs }) {
    const [many, begun, spent] = [ids(jobs), now(), cpu()];
    await enqueue(many);
    return { seconds: now() - begun, cpu_seconds: cpu() - spent };
  },
  async drain({ jobs }) {
    const counter = count(jobs);
    await working(counter.began, () => counter.reached);
    return { seconds: now() - counter.first, cpu_seconds: cpu() - counter.firstCpu };
  },
  async rounds({ jobs, rounds }) {
    const seconds = [];
    let counter = count(jobs);
    await working(() => counter.began(), async () => {
      for (let round = 0; round < rounds; round++) {
        counter = count(jobs);
        await enqueue(ids(jobs));
        const committed = now();
        await counter.reached;
        seconds.push(now() - committed);
      }
    });
    return { seconds };
  },
  async latency({ jobs, per_second }) {
    const [asked, milliseconds] = [new Map(), []];
    let warmed, finish;
    const warm = new Promise((resolve) => { warmed = resolve; });
    const done = new Promise((resolve) => { finish = resolve; });
    await working((id) => {
      warmed();
      if (asked.has(id)) milliseconds.push((now() - asked.get(id)) * 1000);
      if (milliseconds.length === jobs) finish();
    }, async () => {
      await utils.addJob("verification", { id: randomUUID() });
      await warm;
      const begun = now();
      for (let turn = 0; turn < jobs; turn++) {
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, (begun + turn / per_second - now()) * 1000)));
        const id = randomUUID();
        asked.set(id, now());
        await utils.addJob("verification", { id });
      }
      await done;
    });
    return { milliseconds };
  },
};

console.log(JSON.stringify(await cases[name](JSON.parse(given))));
await utils.release();
