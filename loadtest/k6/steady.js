// The requests of the scenario `steady` at its rate, by k6. From the checkout, with a server at 127.0.0.1:8080:
//   loadtest requests --out target/requests.jsonl
//   k6 run -e REQUESTS=../../target/requests.jsonl -e TARGET=http://127.0.0.1:8080 -e RATE=2000 loadtest/k6/steady.js
// Iterations begin at planned times whatever answers take. `http_req_duration` counts from the sending, so compare it with
// `bid, from the sending`; `dropped_iterations` are requests that no free user was there for.
import http from 'k6/http';
import { SharedArray } from 'k6/data';
import { Counter } from 'k6/metrics';
import exec from 'k6/execution';

const target = __ENV.TARGET || 'http://127.0.0.1:8080';
const bodies = new SharedArray('requests', () =>
  open(__ENV.REQUESTS || '../../target/requests.jsonl').split('\n').filter((line) => line.length > 0));

export const options = {
  discardResponseBodies: true,
  summaryTrendStats: ['p(50)', 'p(90)', 'p(99)', 'p(99.9)', 'p(99.99)', 'max', 'count'],
  scenarios: {
    steady: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 2000),
      timeUnit: '1s',
      duration: __ENV.DURATION || '30s',
      preAllocatedVUs: 64,
      maxVUs: 64,
    },
  },
};

const bids = new Counter('bids');
const others = new Counter('others');
const params = { headers: { 'Content-Type': 'application/json', 'x-openrtb-version': '2.6' } };

export default function () {
  const body = bodies[exec.scenario.iterationInTest % bodies.length];
  const answer = http.post(`${target}/openrtb2/demo`, body, params);
  if (answer.status === 200) {
    bids.add(1);
  } else if (answer.status !== 204) {
    others.add(1);
  }
}

// As wrk's script prints it.
export function handleSummary(data) {
  const count = (name) => (data.metrics[name] ? data.metrics[name].values.count : 0);
  const { rate } = data.metrics.http_reqs.values;
  const times = data.metrics.http_req_duration.values;
  const quantiles = [50, 90, 99, 99.9, 99.99].map((p) => `p${p} ${times[`p(${p})`].toFixed(3)}`);
  return {
    stdout:
      `answered  ${count('http_reqs')}, ${rate.toFixed(1)}/s; with a bid: ${count('bids')}; neither 200 nor 204: ${count('others')}\n` +
      `ms         ${quantiles.join('  ')}  max ${times.max.toFixed(3)}\n` +
      `dropped    ${count('dropped_iterations')}\n`,
  };
}
