import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readH2load, readH2loadLog } from '../../bench/h2load.ts';
import { median, quantile, ratio, shown, table } from '../../bench/measurement.ts';
import { readWrk } from '../../bench/wrk.ts';

describe('figures of the benchmark', () => {
  it('medians and quantiles are of sorted values, and NaN of nothing', () => {
    assert.equal(median([10, 9, 1]), 9);
    assert.equal(median([4, 1, 3, 100]), 3.5);
    assert.ok(Number.isNaN(median([])));
    const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
    assert.equal(quantile(hundred, 0.99), 99);
    assert.equal(quantile(hundred, 0.5), 50);
    assert.equal(quantile([7], 0), 7);
    assert.ok(Number.isNaN(quantile([], 0.5)));
  });

  it('a ratio is the median of those within one round, not that of the medians', () => {
    assert.equal(ratio([10, 200, 30], [20, 100, 60]), 0.5);
    assert.equal(ratio([10, 20], [5]), 2);
    assert.ok(Number.isNaN(ratio(undefined, [1])));
    assert.ok(Number.isNaN(ratio([1], undefined)));
  });

  it('a table has a dash for what is not known', () => {
    assert.equal(
      table(
        ['program', 'ms'],
        [
          ['a', shown(1.25, 1)],
          ['b', shown(Number.NaN, 1)],
        ],
      ),
      '| program | ms |\n|---|---|\n| a | 1.3 |\n| b | - |',
    );
  });
});

describe("wrk's report", () => {
  const report = (...figures: number[]): string =>
    `Running 2s test\n  Latency   1.00ms\nRESULT ${figures.join(' ')}\n`;

  it('gives the pace by the clock', () => {
    const tally = readWrk(report(20_000, 2_000_000, 0, 0, 6_400, 12_345), false);
    assert.deepEqual(tally, { requests: 20_000, requestsPerSecond: 10_000, p99Ms: 12.345 });
  });

  it('gives the pace by the time of a request where the load may end before its time', () => {
    assert.equal(
      readWrk(report(300, 3_000_000, 0, 0, 6_400, 9_000), true).requestsPerSecond,
      10_000,
    );
  });

  it('is refused when requests were, or when there is none', () => {
    assert.throws(() => readWrk(report(10, 1, 3, 0, 1, 1), false), /3 requests refused, 0 broken/);
    assert.throws(() => readWrk(report(10, 1, 0, 4, 1, 1), false), /0 requests refused, 4 broken/);
    assert.throws(() => readWrk(report(0, 1, 0, 0, 0, 0), false), /no request was answered/);
    assert.throws(() => readWrk('unable to connect', false), /did not report:\nunable to connect/);
  });
});

describe("h2load's report", () => {
  const report = (counts: string): string => `starting benchmark...
Application protocol: h2
progress: 100% of clients started
finished in 2.00s, 12345.50 req/s, 3.10MB/s
requests: ${counts}
status codes: 24691 2xx, 0 3xx, 0 4xx, 0 5xx
time for request:      310us     12.05ms      5.10ms       1.02ms    78.10%
`;

  it('gives requests and pace', () => {
    const good =
      '24691 total, 24755 started, 24691 done, 24691 succeeded, 0 failed, 0 errored, 0 timeout';
    assert.deepEqual(readH2load(report(good)), { requests: 24_691, requestsPerSecond: 12_345.5 });
  });

  it('is refused when requests were, when there is none, or when it is none', () => {
    const bad = (succeeded: number, failed: number): string =>
      `9 total, 9 started, 9 done, ${succeeded} succeeded, ${failed} failed, 0 errored, 0 timeout`;
    assert.throws(() => readH2load(report(bad(8, 1))), /refused or broken/);
    assert.throws(() => readH2load(report(bad(0, 0))), /refused or broken/);
    assert.throws(() => readH2load('could not connect'), /did not report/);
  });

  it('has milliseconds of each request in its log', () => {
    assert.deepEqual(readH2loadLog('1763000000\t200\t1500\n1763000001\t200\t250\n'), [1.5, 0.25]);
  });
});
